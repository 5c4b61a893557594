// Puts the captcha in front of what an application's page sends to its server.
//
// A form that needs a captcha is held back until this browser has a clearance,
// and a call by fetch or XMLHttpRequest that the gate refused is made once more
// when it has one. What needs no captcha, or is cleared, goes its way at once,
// as without this script. The clearance is earned in a frame on our own page,
// shown in a dialog when a person is needed; the page's data stays in the page.
//
// The server decides, not this script: without it a request is refused.
(() => {
  "use strict";
  const element = /** @type {HTMLScriptElement | null} */ (document.currentScript);
  if (element?.dataset.captcha !== "inject") return;
  const { origin } = self; // "null" in a sandbox, where no cookie works
  const { src } = element; // before a <base> can change what it means
  if (new URL(src).origin !== origin) return;

  const mark = "__caddycaptcha";
  if (window[mark]) { // the script of another policy was here
    window[mark].protect(src, element.dataset);
    return;
  }
  const policies = new Map();
  /** @param {{policy?: string, forms?: string, isolated?: string}} settings */
  function protect(src, settings) {
    const { policy: name, forms, isolated } = settings;
    if (!policies.has(name)) policies.set(name, new Policy(name, new URL(".", src).href, isolated !== undefined));
    if (!forms) return;
    try {
      document.createDocumentFragment().querySelector(forms);
      policies.get(name).selectors.add(forms);
    } catch (error) {
      console.error(`captcha_inject of policy ${name}: form ${error.message}`);
    }
  }
  Object.defineProperty(window, mark, { value: Object.freeze({ protect }) });

  // What the page does to these later does not concern us. Methods are called
  // on the prototypes because a field named "matches" hides the form's own.
  const { addEventListener, removeEventListener, dispatchEvent } = EventTarget.prototype;
  const { matches } = Element.prototype;
  const getter = (type, name) => Object.getOwnPropertyDescriptor(type.prototype, name).get;
  const baseURI = getter(Node, "baseURI");
  const cookieOf = getter(Document, "cookie");
  const { fetch } = window;

  // Returns what is no URL as it is.
  function resolve(url) {
    try {
      return new URL(url, baseURI.call(document)).href;
    } catch {
      return String(url);
    }
  }

  const withoutHash = (url) => url.split("#", 1)[0];

  const isOurs = (url) => URL.canParse(url) && new URL(url).origin === origin;

  // ---- Who waits ----

  // A person waits for what comes of a click, of Enter, of a submission, and of
  // an answer to what they waited for; not for what a page does by itself, and
  // not while they type.
  const attention = 1000; // ms
  let acted = -Infinity;
  let typed = -Infinity;
  const now = () => performance.now();
  const types = () => now() - typed < attention;
  const waits = () => now() - acted < attention && !types();

  const noText = new Set(["button", "checkbox", "color", "file", "hidden", "image", "radio", "range", "reset", "submit"]);

  function takesText(target) {
    if (target instanceof HTMLInputElement) return !noText.has(target.type);
    return target instanceof HTMLTextAreaElement || (target instanceof HTMLElement && target.isContentEditable);
  }

  for (const type of ["click", "keydown", "submit"]) {
    window.addEventListener(type, (event) => {
      if (!event.isTrusted) return;
      const inText = takesText(event.composedPath()[0]);
      if (/** @type {KeyboardEvent} */ (event).key === "Enter") typed = -Infinity;
      else if (type === "keydown") {
        if (inText) typed = now();
        return;
      } else if (type === "click" && inText) return;
      acted = now();
    }, { capture: true, passive: true });
  }

  // ---- The dialog ----

  const dialogs = new Set();

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

  const remembered = 30000; // ms; how long a word of the gate's counts

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

  // ---- Forms ----

  const { submit } = HTMLFormElement.prototype;
  const { append, remove, setAttribute, getAttribute, closest } = Element.prototype;
  const isConnected = getter(Node, "isConnected");
  const formGetter = (name) => getter(HTMLFormElement, name);
  const [methodOf, actionOf, enctypeOf, targetOf, elementsOf] = ["method", "action", "enctype", "target", "elements"].map(formGetter);

  const held = new Map(); // form -> the submission that waits for a clearance
  let released = null; // the form of ours that is being submitted, and its entries

  // Browsers before 2023 leave the submitter out.
  const hasSnapshots = (() => {
    const form = document.createElement("form");
    const button = document.createElement("button");
    button.name = "name";
    form.append(button);
    return new FormData(form, button).has("name");
  })();

  // Where a submission goes, and how, as it is now.
  function address(form, submitter) {
    const of = (attribute, property, own) => (submitter?.hasAttribute(attribute) ? submitter[property] : own.call(form));
    return {
      method: of("formmethod", "formMethod", methodOf),
      action: of("formaction", "formAction", actionOf),
      enctype: of("formenctype", "formEnctype", enctypeOf),
      target: of("formtarget", "formTarget", targetOf),
    };
  }

  // The policies whose clearance a submission may need. One that leaves our
  // origin has no use for a clearance; nor has a dialog's, which sends
  // nothing; and a button that makes a GET of a protected POST form sends
  // something else than the form that was protected.
  function concerns(form, { method, action }) {
    if (method === "dialog" || (method === "get" && methodOf.call(form) === "post") || !isOurs(action)) return [];
    return [...policies.values()].filter(({ selectors }) => [...selectors].some((selector) => matches.call(form, selector)));
  }

  // Whether a submission has to wait: a policy that it concerns does not let it
  // through, as far as is known.
  function mustWait(form, submitter) {
    const to = address(form, submitter);
    const hasFile = (field) => field instanceof HTMLInputElement && field.type === "file" && field.files.length > 0;
    const files = [...elementsOf.call(form)].some(hasFile);
    return concerns(form, to).some((policy) => !policy.lets({ ...to, files }));
  }

  // A submission as it is now, whatever the page does to the form later.
  function take(form, submitter) {
    const to = address(form, submitter);
    const entries = [...new FormData(form, hasSnapshots ? submitter : undefined)];
    if (!hasSnapshots && submitter?.name) entries.push([submitter.name, submitter.value]);
    return {
      ...to,
      entries,
      files: entries.some(([, value]) => value instanceof File && (value.name !== "" || value.size > 0)),
      charset: getAttribute.call(form, "accept-charset"),
      rel: getAttribute.call(form, "rel"),
      frame: to.target && [...document.querySelectorAll("iframe, frame")].find((frame) => frame.getAttribute("name") === to.target),
      needed: concerns(form, to),
    };
  }

  // Holds a submission back. A later one of the same form takes its place, as
  // it would take the place of a navigation.
  async function hold(form, submission) {
    const waits = held.has(form);
    held.set(form, submission);
    if (waits) return;
    await Promise.all(submission.needed.map((policy) => policy.foresee(submission)));
    const passed = await cleared(submission.needed.filter((policy) => !policy.lets(submission)));
    submission = held.get(form);
    held.delete(form);
    if (passed) release(submission);
  }

  // Lets the browser submit what was held, in a form of our own: the page may
  // have changed or removed its own since. Where it has removed the frame that
  // the answer was for, it has no more use for it.
  function release({ method, action, enctype, target, charset, rel, frame, entries }) {
    if (frame && !isConnected.call(frame)) return;
    const form = document.createElement("form");
    for (const [name, value] of Object.entries({ method, action, enctype, target, rel, "accept-charset": charset })) {
      if (value) setAttribute.call(form, name, value);
    }
    if (entries.some(([name]) => name === "_charset_")) { // which the browser fills in
      const field = document.createElement("input");
      field.type = "hidden";
      field.name = "_charset_";
      form.append(field);
    }
    form.hidden = true;
    append.call(document.documentElement, form);
    released = { form, entries };
    try {
      submit.call(form);
    } finally {
      released = null;
      remove.call(form);
    }
  }

  // This listener is the first to run. Whether the page prevents the default
  // is known only after its last listener, which need not be reached by the
  // event and may cancel it in ways that leave no trace if we have canceled it
  // before. So the page gets an event of its own, once, and the browser's goes
  // no further.
  function submitted(event) {
    const { target: form, submitter } = event;
    // An event made by the page submits nothing.
    if (!event.isTrusted || event.defaultPrevented || !mustWait(form, submitter)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (held.has(form)) return; // a double click
    const own = new SubmitEvent("submit", { bubbles: true, cancelable: true, submitter });
    if (!dispatchEvent.call(form, own)) return;
    const waits = mustWait(form, submitter); // the page may have changed the form
    if (waits) hold(form, take(form, submitter));
    else release(take(form, submitter));
  }

  // What a person touches may soon be submitted. A shadow root that was made
  // with the document shows itself here.
  function touched(event) {
    const path = event.composedPath();
    for (const node of path) if (node instanceof ShadowRoot) watch(node);
    const form = path[0] instanceof Element && closest.call(path[0], "form");
    if (!form) return;
    const submission = address(form, null);
    for (const policy of concerns(form, submission)) policy.foresee(submission);
  }

  // A submission in a shadow root is seen in there alone.
  const watched = new WeakSet();

  function watch(root) {
    if (watched.has(root)) return;
    watched.add(root);
    addEventListener.call(root, "submit", submitted, true);
    for (const type of ["focusin", "pointerdown", "input"]) addEventListener.call(root, type, touched, { capture: true, passive: true });
  }

  watch(window);
  const { attachShadow } = Element.prototype;
  Object.assign(Element.prototype, {
    // eslint-disable-next-line no-unused-vars -- the page may look at its length
    attachShadow(init) {
      const root = attachShadow.apply(this, /** @type {any} */ (arguments));
      watch(root);
      return root;
    },
  });
  document.addEventListener("DOMContentLoaded", () => watchIn(document), { once: true });

  function watchIn(root) {
    for (const { shadowRoot } of root.querySelectorAll("*")) {
      if (!shadowRoot) continue;
      watch(shadowRoot);
      watchIn(shadowRoot);
    }
  }

  window.addEventListener("formdata", (event) => {
    if (event.target !== released?.form) return;
    event.stopImmediatePropagation(); // the page has seen it
    const data = event.formData;
    const charset = data.get("_charset_");
    for (const name of new Set(data.keys())) data.delete(name);
    for (const [name, value] of released.entries) data.append(name, name === "_charset_" ? charset ?? value : value);
  }, true);

  Object.assign(HTMLFormElement.prototype, {
    submit() {
      if (isConnected.call(this) && mustWait(this, undefined)) hold(this, take(this, undefined));
      else submit.call(this);
    },
  });

  // ---- Calls ----

  const curable = new Set(["missing", "rejected", "expired", "replayed"]);

  // The policy that refused a call to our origin, if a captcha can help. What
  // was redirected is repeated only when that changes nothing: before the
  // redirect the application may have acted.
  function refusedBy(call, answer) {
    if (answer.status !== 403 || !isOurs(call.url) || !isOurs(answer.url)) return undefined;
    if (!["GET", "HEAD"].includes(call.method.toUpperCase()) && withoutHash(answer.url) !== withoutHash(call.url)) return undefined;
    return curable.has(answer.header("Captcha-Outcome")) ? policies.get(answer.header("Captcha-Policy")) : undefined;
  }

  Object.assign(window, {
    // eslint-disable-next-line no-unused-vars -- the page may look at fetch.length
    async fetch(input) {
      let request = new Request(.../** @type {[Request]} */ (/** @type {unknown} */ (arguments)));
      if (!isOurs(request.url)) return fetch(request);
      const counts = waits();
      for (const tried = new Tries(); ;) {
        const spare = request.clone();
        const response = await fetch(request);
        const { status, url, headers } = response;
        const policy = refusedBy(request, { status, url, header: (name) => headers.get(name) });
        if (!policy || !tried.may(policy) || !(await unlessAborted(request.signal, policy, policy.cleared(counts)))) {
          if (counts) acted = now();
          return response;
        }
        response.body?.cancel();
        request = spare;
      }
    },
  });

  // How often one call asks for a clearance: once, or, where it is good for a
  // number of requests and so without a hint, again when others have used it up.
  class Tries {
    #made = new Map();

    may(policy) {
      const made = (this.#made.get(policy) ?? 0) + 1;
      this.#made.set(policy, made);
      return made === 1 || (made <= 3 && !policy.hinted);
    }
  }

  function unlessAborted(signal, policy, promise) {
    return new Promise((done, fail) => {
      const stop = () => {
        policy.givenUp();
        fail(signal.reason);
      };
      if (signal.aborted) stop();
      signal.addEventListener("abort", stop);
      promise.then(done).finally(() => signal.removeEventListener("abort", stop));
    });
  }

  // An XMLHttpRequest makes the refused call and its repetition; the page does
  // not get the events of the former, but for the progress of its upload. That
  // an upload has ended it hears when the answer's head shows which of the two
  // counts, and at once where a hint says that the call will pass. A synchronous
  // call cannot wait and is left alone.
  const { open, setRequestHeader, send, abort } = XMLHttpRequest.prototype;
  const eventTypes = ["readystatechange", "loadstart", "progress", "load", "error", "timeout", "abort", "loadend"];
  const calls = new WeakMap(); // XMLHttpRequest -> its call

  // The page's listeners run after ours when ours are the first, which is sure
  // only for a new object. A call with listeners for its upload is preflighted
  // on its way to another origin, so those wait until the page has use for
  // them, and go if the call leaves our origin.
  const uploadOf = getter(XMLHttpRequest, "upload");
  const uploads = new WeakMap(); // XMLHttpRequestUpload -> the listener

  window.XMLHttpRequest = new Proxy(XMLHttpRequest, {
    construct(...all) {
      const xhr = Reflect.construct(...all);
      for (const type of eventTypes) addEventListener.call(xhr, type, notice);
      return xhr;
    },
  });
  XMLHttpRequest.prototype.constructor = XMLHttpRequest;

  Object.defineProperty(XMLHttpRequest.prototype, "upload", {
    get() {
      const upload = uploadOf.call(this);
      if (!uploads.has(upload)) {
        const listener = (event) => {
          const call = calls.get(this);
          if (call && isUploadHidden(call, event)) event.stopImmediatePropagation();
        };
        uploads.set(upload, listener);
        for (const type of eventTypes) addEventListener.call(upload, type, listener);
      }
      return upload;
    },
  });

  Object.assign(XMLHttpRequest.prototype, {
    open(method, url) {
      const before = calls.get(this);
      const [, , isAsync, ...credentials] = arguments;
      if (arguments.length < 3 || isAsync) {
        calls.set(this, {
          method: String(method), url: resolve(url), credentials, headers: [], body: null,
          tried: new Tries(),
          counts: false, // a person waits for it
          policy: null, // what refused it, while it is hidden
          hidden: [], // the events the page did not get
          ended: [], // of its upload
          passes: false, // as far as hints say
          ours: false, // while we call open and send
          repeats: false,
        });
      } else {
        calls.delete(this);
      }
      try {
        open.apply(this, arguments);
      } catch (error) {
        calls.set(this, before);
        throw error;
      }
    },

    setRequestHeader(name, value) {
      setRequestHeader.apply(this, arguments);
      calls.get(this)?.headers.push([name, value]);
    },

    send(body = null) {
      const call = calls.get(this);
      if (call) {
        call.counts = waits();
        call.passes = [...policies.values()].every(({ hinted }) => hinted);
      }
      if (call && isOurs(call.url)) {
        call.body = copy(body);
      } else if (call) {
        const upload = uploadOf.call(this);
        for (const type of eventTypes) removeEventListener.call(upload, type, uploads.get(upload));
        uploads.delete(upload);
      }
      send.call(this, body);
    },

    /** @this {XMLHttpRequest} */
    abort() {
      const call = calls.get(this);
      if (call?.policy) {
        call.policy.givenUp();
        call.policy = null;
        call.ended = []; // to the page it was under way
        // The browser takes a call that waits for the person as done, and
        // would not tell the page that it was aborted.
        if (this.readyState === XMLHttpRequest.DONE) start(this, call, "GET", src);
      }
      abort.call(this);
    },
  });

  function notice(event) {
    const call = calls.get(this);
    if (call && isHidden(this, call, event)) event.stopImmediatePropagation();
  }

  function isUploadHidden(call, event) {
    if (!event.isTrusted) return false;
    if (call.repeats && event.type === "loadstart") return true; // which the page has seen
    if (call.passes || !["load", "loadend"].includes(event.type)) return false;
    call.ended.push(event);
    return true;
  }

  // Lets the page hear that the upload has ended.
  function endUpload(xhr, call) {
    const ended = call.ended.splice(0);
    for (const event of ended) replay(uploadOf.call(xhr), event);
  }

  function replay(target, { type, lengthComputable, loaded, total }) {
    dispatchEvent.call(target, new ProgressEvent(type, { lengthComputable, loaded, total }));
  }

  function isHidden(xhr, call, event) {
    if (call.ours) return true;
    if (!call.policy && ["error", "timeout", "abort"].includes(event.type)) endUpload(xhr, call);
    if (event.type === "readystatechange" && xhr.readyState === XMLHttpRequest.HEADERS_RECEIVED) {
      const { status, responseURL: url } = xhr;
      const policy = refusedBy(call, { status, url, header: (name) => xhr.getResponseHeader(name) });
      if (policy && call.tried.may(policy)) {
        call.policy = policy;
      } else {
        endUpload(xhr, call);
        if (call.counts) acted = now();
      }
    }
    if (!call.policy) return false;
    if (["error", "timeout", "abort"].includes(event.type)) { // the refusal broke off
      call.policy = null;
      dispatchEvent.call(xhr, new Event("readystatechange"));
      return false;
    }
    if (event.type !== "readystatechange") call.hidden.push(event);
    if (event.type === "loadend") repeat(xhr, call);
    return true;
  }

  async function repeat(xhr, call) {
    const { policy } = call;
    const passed = await policy.cleared(call.counts);
    if (calls.get(xhr) !== call || call.policy !== policy) return; // aborted or opened anew
    call.policy = null;
    if (passed) {
      call.hidden = [];
      call.ended = [];
      start(xhr, call, call.method, call.url, call.credentials, call.headers, call.body);
      return;
    }
    endUpload(xhr, call);
    dispatchEvent.call(xhr, new Event("readystatechange"));
    for (const hidden of call.hidden) {
      if (calls.get(xhr) === call) replay(xhr, hidden);
    }
  }

  // Starts a call that the page takes for the one under way: it has seen that
  // one begin and send its body.
  function start(xhr, call, method, url, credentials = [], headers = [], body = null) {
    call.ours = call.repeats = true;
    try {
      open.call(xhr, method, url, true, ...credentials);
      for (const [name, value] of headers) setRequestHeader.call(xhr, name, value);
      send.call(xhr, body);
    } finally {
      call.ours = false;
    }
  }

  // The page may change what it has sent.
  function copy(body) {
    if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return new Blob([/** @type {BlobPart} */ (body)]); // neither has a type
    if (body instanceof URLSearchParams) return new URLSearchParams(body);
    if (body instanceof Document) return body.cloneNode(true);
    if (!(body instanceof FormData)) return body;
    const data = new FormData();
    for (const [name, value] of body) data.append(name, value);
    return data;
  }

  protect(src, element.dataset);
})();
