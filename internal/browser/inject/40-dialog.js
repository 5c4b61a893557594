  // ---- The dialog ----

  const dialogs = new Set();

  const texts = {
    "zh-CN": { title: "安全验证", close: "关闭", note: "此页面的部分内容需要安全验证。", open: "开始验证", late: "您已通过验证，但页面没有等待结果。请重新提交。" },
    "zh-TW": { title: "安全驗證", close: "關閉", note: "此頁面的部分內容需要安全驗證。", open: "開始驗證", late: "您已通過驗證，但頁面沒有等待結果。請重新送出。" },
    en: { title: "Security check", close: "Close", note: "Part of this page needs a security check.", open: "Check now", late: "You have passed the check, but the page did not wait for it. Send your request again." },
  };

  function language() {
    const tag = [document.documentElement.lang, ...navigator.languages].find((tag) => /^(zh|en)\b/i.test(tag));
    if (!/^zh/i.test(tag)) return "en";
    return /hant|-(tw|hk|mo)\b/i.test(tag) ? "zh-TW" : "zh-CN";
  }

  // A Note says something without taking the focus or a key. Its buttons are
  // pairs of a text's name and what to do; the last one closes it.
  class Note {
    #host = document.createElement("div");

    constructor(name, buttons, dismissed = () => {}) {
      const text = texts[language()];
      const box = document.createElement("div");
      box.setAttribute("role", "status");
      box.textContent = text[name];
      Object.assign(box.style, {
        position: "fixed", bottom: "16px", insetInlineEnd: "16px", zIndex: "2147483647", display: "flex", alignItems: "center", gap: "8px",
        maxWidth: "min(360px, calc(100vw - 32px))", boxSizing: "border-box", padding: "8px 8px 8px 16px", borderRadius: "10px",
        background: "#1b1f27", color: "#fff", font: "15px/1.4 system-ui, sans-serif", boxShadow: "0 8px 30px rgb(0 0 0 / 30%)",
      });
      for (const [label, run] of [...buttons, ["close", dismissed]]) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = label === "close" ? "×" : text[label];
        button.setAttribute("aria-label", text[label]);
        Object.assign(button.style, {
          flex: "none", minWidth: "44px", minHeight: "44px", padding: "0 12px", border: "0", borderRadius: "8px",
          background: "#fff", color: "#1b1f27", font: "inherit", cursor: "pointer",
        });
        button.addEventListener("click", () => {
          this.remove();
          acted = -Infinity; // it was ours
          run();
        });
        box.append(button);
      }
      this.#host.style.cssText = "all: initial !important";
      this.#host.attachShadow({ mode: "closed" }).append(box);
      document.documentElement.append(this.#host);
    }

    remove() {
      this.#host.remove();
    }
  }

  // A Prompt is a note until somebody waits, and then a dialog.
  class Prompt {
    #policy;
    #done;
    #note = null;
    #opened = false;

    constructor(policy, done) {
      this.#policy = policy;
      this.#done = done;
      queueMicrotask(() => {
        if (!this.#opened) this.#note = new Note("note", [["open", () => this.open()]], () => done(false));
      });
    }

    open() {
      if (this.#opened) return;
      this.#opened = true;
      this.#note?.remove();
      dialogs.add(new Dialog(this.#policy, this.#done));
    }
  }

  // How long a frame may say nothing before the person gets to see it, with a
  // way out: something is wrong with it.
  const silence = { loaded: 2000, loading: 10000 };

  // A Dialog holds the frame in a shadow root, out of reach of the page's
  // style sheets, and is styled by properties, which no policy for styles
  // forbids. It has its size from the start, so that a widget can measure
  // itself before it is shown.
  class Dialog {
    #host = document.createElement("div");
    #dialog = document.createElement("dialog");
    #close = document.createElement("button");
    #frame = document.createElement("iframe");
    #timers = [];
    #heard = false;
    #note = null;
    #removed = new MutationObserver(() => this.#host.isConnected || this.end(false));
    #done;

    constructor(policy, done) {
      this.policy = policy;
      this.#done = done;
      const { title, close } = texts[language()];

      this.#host.style.cssText = "all: initial !important";
      this.#dialog.setAttribute("aria-label", title);
      Object.assign(this.#dialog.style, {
        position: "fixed", inset: "0", margin: "0", border: "0", padding: "0",
        display: "block", width: "100%", height: "100%", maxWidth: "none", maxHeight: "none",
        overflow: "hidden", background: "rgb(0 0 0 / 50%)", visibility: "hidden", pointerEvents: "none",
      });
      this.#frame.title = title;
      this.#frame.src = policy.page;
      // Our page follows the browser's scheme; in a frame of another one
      // browsers would paint it opaque.
      Object.assign(this.#frame.style, { width: "100%", height: "100%", border: "0", colorScheme: "light dark" });
      this.#close.type = "button";
      this.#close.hidden = true;
      this.#close.setAttribute("aria-label", close);
      this.#close.textContent = "×";
      Object.assign(this.#close.style, {
        position: "absolute", top: "12px", insetInlineEnd: "12px", width: "44px", height: "44px", border: "0",
        borderRadius: "50%", background: "#fff", color: "#222", font: "24px/1 system-ui, sans-serif", cursor: "pointer",
      });

      this.#close.addEventListener("click", () => this.end(false));
      this.#dialog.addEventListener("close", () => this.end(false)); // Esc
      this.#frame.addEventListener("load", () => this.#expectWord(silence.loaded), { once: true });
      this.#dialog.append(this.#frame, this.#close);
      this.#host.attachShadow({ mode: "closed" }).append(this.#dialog);
      document.documentElement.append(this.#host);
      this.#removed.observe(document, { childList: true, subtree: true });
      this.#expectWord(silence.loading);
    }

    isFrom(message) {
      return message.source === this.#frame.contentWindow;
    }

    hear(state) {
      if (state === "passed" || state === "closed") this.end(state === "passed");
      if (state !== "show") return;
      this.#heard = true;
      this.#show(this.#frame);
    }

    end(passed) {
      if (!dialogs.delete(this)) return;
      this.#timers.forEach(clearTimeout);
      this.#note?.remove();
      this.#removed.disconnect();
      this.#dialog.close(); // gives the focus back
      this.#host.remove();
      this.#done(passed);
    }

    #expectWord(within) {
      this.#timers.push(setTimeout(() => this.#heard || this.#show(this.#close), within));
    }

    #show(focus) {
      if (types() && !this.#dialog.open) { // the keys are the page's
        this.#note ??= new Note("note", [["open", () => this.#show(focus)]], () => this.end(false));
        return;
      }
      this.#note?.remove();
      this.#close.hidden = focus !== this.#close;
      if (!this.#dialog.open) {
        Object.assign(this.#dialog.style, { visibility: "visible", pointerEvents: "auto" });
        this.#dialog.showModal();
      }
      focus.focus();
    }
  }

  window.addEventListener("message", (event) => {
    for (const dialog of dialogs) {
      if (!dialog.isFrom(event)) continue;
      event.stopImmediatePropagation(); // the page's listeners do not expect it
      if (event.origin === origin && event.data?.captcha === dialog.policy.name) dialog.hear(event.data.state);
    }
  }, true);

  window.addEventListener("pageshow", (event) => {
    if (event.persisted) dialogs.forEach((dialog) => dialog.end(false));
  });
