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

  // The script of the outermost document around this one that is ours and has
  // it: in a small frame nobody could solve a captcha.
  function outermost() {
    let found = null;
    try {
      for (let frame = /** @type {Window} */ (self); frame !== frame.parent;) {
        frame = frame.parent;
        found = frame[mark] ?? found;
      }
    } catch { /* the rest is another origin's */ }
    return found;
  }

  // Documents in frames share what is known of the person.
  const attention = outermost()?.attention ?? { acted: -Infinity, typed: -Infinity, enter: null };
  Object.defineProperty(window, mark, { value: Object.freeze({ protect, attention, policy: (name) => policies.get(name) }) });

  // What the page does to these later does not concern us. Methods are called
  // on the prototypes because a field named "matches" hides the form's own.
  const { addEventListener, removeEventListener, dispatchEvent } = EventTarget.prototype;
  const { matches, attachShadow } = Element.prototype;
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
