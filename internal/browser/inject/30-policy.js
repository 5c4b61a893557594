  // ---- Policies ----

  const remembered = 30000; // ms; how long a word of the gate's counts

  class Policy {
    selectors = new Set();
    #base;
    #dialog = null;
    #answer; // of the dialog
    #dismissed = false;
    #foreseen = new Map(); // method and URL -> what the gate says of them

    constructor(name, base, isolated) {
      this.name = name;
      this.#base = base;
      this.isolated = isolated;
      this.alone = base + "page";
      this.page = this.alone + (isolated ? "?isolated" : ""); // a page with COEP frames only what has it, too
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
      asked.answer = this.#ask(method, action).then((answer) => Object.assign(asked, answer));
      return asked.answer;
    }

    async #ask(method, url) {
      try {
        const response = await fetch(this.#base + "needed", {
          method: "POST", headers: { "Content-Type": "application/json" }, cache: "no-store",
          body: JSON.stringify({ method, url: withoutHash(url) }),
        });
        return response.ok && await response.json();
      } catch {
        return undefined; // it is as unknown as before
      }
    }

    // Whether there is a clearance, as the gate sees it.
    async isCleared() {
      return (await this.#ask("GET", this.#base))?.cleared === true;
    }

    // Takes a seat at the dialog, which all who want a clearance at the same time
    // share. It opens by itself only for who waits for it; to all else a note
    // offers it, and after a dismissal calls in the background fail in silence.
    // The answer is whether this browser has a clearance now; who gives up leaves.
    join(waits) {
      this.#foreseen.clear(); // what was known may have changed
      const around = outermost()?.policy(this.name);
      if (around) {
        const seat = around.join(waits);
        window.addEventListener("pagehide", seat.leave);
        return seat;
      }
      if (!this.#dialog && !waits && this.#dismissed) return { answer: Promise.resolve(false), leave() {} };
      this.prepare();
      return { answer: this.#answer, leave: this.#dialog.join(waits) };
    }

    // Makes the dialog, unseen, so that the captcha is there when it is needed.
    prepare() {
      const around = outermost()?.policy(this.name);
      if (around) {
        around.prepare();
        return;
      }
      if (this.#dialog) return;
      this.#answer = new Promise((done) => { this.#dialog = new Dialog(this, done); }).then((passed) => {
        this.#dialog = null;
        if (passed !== undefined) this.#dismissed = !passed;
        return Boolean(passed);
      });
    }
  }

  // Whether this browser has a clearance of each of the policies, for a person
  // who waits.
  async function cleared(needed) {
    for (const policy of needed) {
      if (!(await policy.join(true).answer)) return false;
    }
    return true;
  }
