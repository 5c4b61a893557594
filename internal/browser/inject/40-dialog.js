  // ---- The dialog ----

  // What we show, in the person's language as soon as the frame has told it.
  const text = {
    title: "Security check",
    close: "Close",
    note: "Part of this page needs a security check.",
    open: "Check now",
    late: "You passed, but the page has stopped waiting. Please send it again.",
  };

  // How long a frame may say nothing before the person gets to see it, with a way
  // out: something is wrong with it.
  const silence = { loaded: 2000, loading: 10000 };

  const dialogs = new Set();
  const hosts = new WeakSet(); // the elements that hold them
  const { open: openWindow } = window;

  // A Dialog holds the frame in a shadow root, out of reach of the page's style
  // sheets, and is styled by properties, which no policy for styles forbids. It
  // has its size from the start, so that a widget can measure itself before it is
  // shown. Until somebody waits for it, or while they type, a note offers it,
  // which takes neither the focus nor a key. One in which nobody has a seat is
  // there in advance.
  class Dialog {
    #host = document.createElement("div");
    #root = attachShadow.call(this.#host, { mode: "closed" }); // what goes on in there is no act on the page
    #dialog = document.createElement("dialog");
    #close = button("×", text.close, () => this.end(false));
    #frame = null;
    #note = null;
    #timers = [];
    #seats = 0;
    #awaited = false; // somebody waits
    #greeted = false; // the frame has said hello, and begins when it is told to
    #heard = false; // the frame has said anything
    #shows = false; // there is something to see
    #late = false; // somebody who waited has given up
    #passed = false;
    #removed = new MutationObserver(() => this.#host.isConnected || this.end());
    #done;

    // Calls done when it ends: with whether there is a clearance, or without a
    // word where nobody has decided.
    constructor(policy, done) {
      this.policy = policy;
      this.#done = done;
      this.#host.style.cssText = "all: initial !important";
      Object.assign(this.#dialog.style, {
        position: "fixed", inset: "0", margin: "0", border: "0", padding: "0",
        display: "block", width: "100%", height: "100%", maxWidth: "none", maxHeight: "none",
        overflow: "hidden", background: "rgb(0 0 0 / 50%)",
      });
      Object.assign(this.#close.style, { position: "absolute", top: "12px", insetInlineEnd: "12px" });
      // Esc. The event of a close of ours can come after the next show.
      this.#dialog.addEventListener("close", () => this.#dialog.open || this.#dialog.returnValue || this.end(this.#passed));
      this.#dialog.append(this.#close);
      if (policy.isolated) this.#offerWindow();
      this.#root.append(this.#dialog);
      this.#hide();
      this.#load();
      hosts.add(this.#host);
      dialogs.add(this);
      document.documentElement.append(this.#host);
      this.#removed.observe(document, { childList: true, subtree: true });
    }

    // Takes a seat, and returns how to leave it.
    join(waits) {
      this.#seats++;
      if (waits) this.#wait();
      else if (this.#greeted && !this.#dialog.open) this.#offer();
      let leave = () => {
        leave = () => {};
        this.#seats--;
        this.#late ||= waits;
        if (this.#seats === 0 && this.#awaited && !this.#dialog.open) this.end();
      };
      return () => leave();
    }

    isFrom(message) {
      return message.source === this.#frame.contentWindow;
    }

    hear({ state, text: words, cleared }) {
      this.#heard = true;
      switch (state) {
        case "hello":
          Object.assign(text, words);
          this.#label();
          this.#greeted = true;
          if (cleared) this.#pass();
          else if (this.#awaited) this.#tell("begin");
          else if (this.#seats > 0) this.#offer();
          else this.#tell("prepare");
          break;
        case "show":
          this.#shows = true;
          this.#show();
          break;
        case "quiet":
          this.#hide();
          break;
        case "again":
          this.#awaited = true;
          this.#load();
          break;
        case "passed":
        case "cleared":
          this.#pass();
          break;
        case "closed":
          this.end(false);
          break;
        default:
          this.#heard = false;
      }
    }

    /** @param {boolean} [passed] */
    end(passed) {
      if (!dialogs.delete(this)) return;
      this.#removed.disconnect();
      this.#hide(); // gives the focus back
      this.#timers.forEach(clearTimeout);
      this.#host.remove();
      this.#done(passed);
    }

    // Providers' scripts remember a failure for the life of their document, so
    // trying again takes a fresh frame.
    #load() {
      this.#timers.forEach(clearTimeout);
      this.#frame?.remove();
      this.#greeted = this.#heard = false;
      this.#frame = document.createElement("iframe");
      this.#frame.src = this.policy.page;
      this.#frame.referrerPolicy = "no-referrer";
      // Our page follows the browser's scheme; in a frame of another one
      // browsers would paint it opaque.
      Object.assign(this.#frame.style, { width: "100%", height: "100%", border: "0", colorScheme: "light dark" });
      this.#label();
      this.#frame.addEventListener("load", () => this.#expectWord(silence.loaded), { once: true });
      this.#dialog.prepend(this.#frame);
      this.#expectWord(silence.loading);
    }

    #label() {
      this.#frame.title = text.title;
      this.#dialog.setAttribute("aria-label", text.title);
      this.#close.setAttribute("aria-label", text.close);
    }

    #expectWord(within) {
      this.#timers.push(setTimeout(() => {
        if (this.#heard || this.#shows) return;
        if (!this.#awaited) {
          this.end(this.#seats > 0 ? false : undefined);
          return;
        }
        this.#shows = true;
        this.#show();
      }, within));
    }

    #wait() {
      if (this.#awaited) return;
      this.#awaited = true;
      this.#note?.remove();
      this.#note = null;
      if (this.#greeted) this.#tell("begin");
      if (this.#shows) this.#show();
    }

    #tell(state) {
      this.#frame.contentWindow.postMessage({ captcha: this.policy.name, state }, origin);
    }

    #show() {
      if (!this.#dialog.open) {
        if (!this.#awaited || types()) { // the keys are the page's
          this.#offer();
          return;
        }
        this.#note?.remove();
        Object.assign(this.#dialog.style, { visibility: "visible", pointerEvents: "auto" });
        this.#dialog.returnValue = "";
        this.#dialog.showModal();
      }
      (this.#heard ? this.#frame : this.#close).focus();
    }

    #hide() {
      this.#shows = false;
      Object.assign(this.#dialog.style, { visibility: "hidden", pointerEvents: "none" });
      this.#dialog.close("hidden");
    }

    #offer() {
      if (this.#note) return;
      this.#note = card("status", text.note, [text.open, () => {
        attention.typed = -Infinity;
        this.#note.remove();
        this.#note = null;
        this.#wait();
        if (this.#shows) this.#show();
      }], ["×", () => this.end(false)]);
      Object.assign(this.#note.style, { bottom: "16px", insetInlineEnd: "16px" });
      this.#root.append(this.#note);
    }

    // In a page with COEP a provider's own frames do not load, nor does ours in
    // some browsers. A window has no such bounds, but cannot always tell us how
    // it went.
    #offerWindow() {
      const offer = card("group", "", [text.open, () => {
        openWindow.call(window, this.policy.alone, "_blank", "popup,width=480,height=640");
        const look = async () => (await this.policy.isCleared()) && dialogs.has(this) && this.#pass();
        this.#timers.push(setInterval(look, 2000));
      }]);
      Object.assign(offer.style, { bottom: "16px", left: "50%", transform: "translateX(-50%)", padding: "8px" });
      this.#dialog.append(offer);
    }

    // Who has waited in vain has to send it again.
    #pass() {
      this.#passed = true;
      if (this.#seats > 0 || !this.#late || !this.#dialog.open) {
        this.end(true);
        return;
      }
      this.#frame.hidden = this.#close.hidden = true;
      const late = card("alert", text.late, [text.close, () => this.end(true)]);
      Object.assign(late.style, { top: "40%", left: "50%", transform: "translate(-50%, -50%)" });
      this.#dialog.append(late);
      late.querySelector("button").focus();
    }
  }

  // Makes a box with words and buttons.
  function card(role, words, ...buttons) {
    const box = document.createElement("div");
    box.setAttribute("role", role);
    box.textContent = words;
    Object.assign(box.style, {
      position: "fixed", zIndex: "2147483647", display: "flex", alignItems: "center", gap: "8px",
      maxWidth: "min(360px, calc(100vw - 32px))", boxSizing: "border-box", padding: "8px 8px 8px 16px", borderRadius: "10px",
      background: "#1b1f27", color: "#fff", font: "15px/1.4 system-ui, sans-serif", boxShadow: "0 8px 30px rgb(0 0 0 / 30%)",
    });
    box.append(...buttons.map(([label, run]) => button(label, label === "×" ? text.close : label, run)));
    return box;
  }

  function button(label, name, run) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = label;
    made.setAttribute("aria-label", name);
    Object.assign(made.style, {
      flex: "none", minWidth: "44px", minHeight: "44px", padding: "0 12px", border: "0", borderRadius: "22px",
      background: "#fff", color: "#1b1f27", font: "16px/1 system-ui, sans-serif", cursor: "pointer",
    });
    made.addEventListener("click", run);
    return made;
  }

  window.addEventListener("message", (event) => {
    for (const dialog of dialogs) {
      if (!dialog.isFrom(event)) continue;
      event.stopImmediatePropagation(); // the page's listeners do not expect it
      if (event.origin === origin && event.data?.captcha === dialog.policy.name) dialog.hear(event.data);
    }
  }, true);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) dialogs.forEach((dialog) => dialog.end());
  });
