  // ---- Policies ----

  const remembered = 30000; // ms; how long a word of the gate's counts

  class Policy {
    selectors = new Set();
    #base;
    #asking = null;
    #prompt = null;
    #dismissed = false;
    #waiting = 0; // calls and submissions
    #foreseen = new Map(); // method and URL -> what the gate says of them

    constructor(name, base, isolated) {
      this.name = name;
      this.#base = base;
      this.page = base + (isolated ? "page?isolated" : "page"); // a page with COEP frames only what has it, too
    }

    // Whether a submission passes the gate, as far as is known without waiting:
    // it needs no captcha, or there is a clearance. Beside one that is good for
    // any number of requests lies a hint. A form with files takes the gate's
    // word: a person would not like to choose them again.
    lets({ method, action, files }) {
      const known = this.#foreseen.get(method + " " + withoutHash(action));
      return known?.needed === "no" || known?.cleared || (!files && this.hinted);
    }

    get hinted() {
      return cookieOf.call(document).split("; ").some((cookie) => cookie.startsWith(`captcha_until_${this.name}=`));
    }

    // Asks the gate about a submission, once for a while: a clearance does not
    // last. A person who fills in a form gives it the time to answer.
    async foresee({ method, action }) {
      const key = method + " " + withoutHash(action);
      const before = this.#foreseen.get(key);
      if (before?.needed === "no" || performance.now() - before?.at < remembered) return before.answer;
      const asked = { at: performance.now(), answer: null, needed: "", cleared: false };
      this.#foreseen.set(key, asked);
      asked.answer = fetch(this.#base + "needed", {
        method: "POST", headers: { "Content-Type": "application/json" }, cache: "no-store",
        body: JSON.stringify({ method, url: withoutHash(action) }),
      }).then((response) => response.ok && response.json()).then((answer) => Object.assign(asked, answer)).catch(() => {});
      return asked.answer;
    }

    // What was known may have changed.
    forget() {
      this.#foreseen.clear();
    }

    // Whether this browser has a clearance now. Calls at the same time share
    // one dialog. It opens by itself only for who waits for it; for all else a
    // note offers it, once: after a dismissal calls in the background fail in
    // silence.
    cleared(waits) {
      this.forget();
      if (!this.#asking) {
        if (!waits && this.#dismissed) return Promise.resolve(false);
        this.#waiting = 0;
        this.#asking = new Promise((done) => { this.#prompt = new Prompt(this, done); }).then((passed) => {
          this.#asking = null;
          this.#dismissed = !passed;
          if (passed && !this.#waiting) new Note("late", []);
          return passed;
        });
      }
      this.#waiting++;
      if (waits) this.#prompt.open();
      return this.#asking;
    }

    // The page has aborted a call, or its time was up, while a person solves.
    // Nothing is sent for it then, and where nobody else waits the person has to
    // know that.
    givenUp() {
      this.#waiting--;
    }
  }

  async function cleared(needed) {
    for (const policy of needed) {
      if (!(await policy.cleared(true))) return false;
    }
    return true;
  }
