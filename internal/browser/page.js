// On the challenge page: frames the widget page and lets the person go on when
// that has been passed. No provider's script runs here, where the URL is the
// application's and may hold secrets.
(function () {
  "use strict";

  const script = document.currentScript;
  if (!script || script.dataset.captcha !== "page") return;

  const text = self.captchaText;
  const page = JSON.parse(script.dataset.settings);
  script.remove(); // before there is a frame, whose script could look for what was sent

  const silence = { loaded: 3000, loading: 15000 }; // ms until a frame that says nothing is given up
  const memory = 10 * 60000; // ms; how long what was sent is kept

  let entries = page.entries; // of the form that was sent
  let frame = null;
  let timers = [];
  let heard = false; // a word of the frame
  let action; // of the button

  setTimeout(() => { entries = null; }, memory);

  const element = (name) => document.getElementById("captcha-" + name);

  // What the page says and offers

  function say(name, state) {
    const status = element("status");
    status.dataset.state = state;
    status.textContent = text[name];
    element("button").hidden = true;
  }

  function offer(name, run) {
    const button = element("button");
    action = run;
    button.textContent = text[name];
    button.hidden = false;
    if (document.activeElement === document.body) button.focus();
  }

  // The frame

  // load makes a fresh frame: providers' scripts remember a failure for the
  // life of their document. It is as large as the page, since widgets open in
  // the middle of their document, and to be seen when it says so.
  function load() {
    unload();
    say("loading", "busy");
    heard = false;
    frame = document.createElement("iframe");
    frame.src = page.base + "/page";
    frame.title = text.title;
    frame.referrerPolicy = "no-referrer";
    Object.assign(frame.style, {
      position: "fixed", inset: "0", top: "0", left: "0", width: "100%", height: "100%", border: "0",
      colorScheme: "light dark", zIndex: "2147483647",
    });
    show(false);
    frame.addEventListener("load", () => expectWord(silence.loaded));
    document.body.append(frame);
    expectWord(silence.loading);
  }

  function unload() {
    timers.forEach(clearTimeout);
    timers = [];
    if (!frame) return;
    show(false);
    frame.remove();
    frame = null;
  }

  // show shows the frame and nothing else, or everything else.
  function show(is) {
    frame.style.visibility = is ? "visible" : "hidden";
    for (const other of document.body.children) {
      if (other !== frame && other instanceof HTMLElement) other.style.visibility = is ? "hidden" : "";
    }
    if (is) frame.focus();
  }

  function expectWord(within) {
    timers.push(setTimeout(() => {
      if (heard) return;
      unload();
      say("silent", "error");
      offer("retry", load);
    }, within));
  }

  function hear(state) {
    heard = true;
    if (state === "hello") {
      const settings = { captcha: page.policy, state: "begin", id: page.id, reason: page.reason };
      if (page.next === "reload") settings.back = isReload();
      frame.contentWindow.postMessage(settings, location.origin);
    } else if (state === "show") {
      show(true);
    } else if (state === "quiet") {
      show(false);
    } else if (state === "again") {
      load();
    } else if (state === "passed" || state === "cleared") {
      goOn(state === "passed");
    }
  }

  function isReload() {
    const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
    return !navigation || navigation.type === "reload";
  }

  // goOn lets the person go on. A request that was not a GET is sent again by
  // itself only where the person has solved the captcha for it, and never by a
  // reload, with which a browser would send it with cookies and an origin that
  // it did not have.
  function goOn(here) {
    unload();
    if (page.next === "reload") {
      say("passed", "done");
      location.reload();
    } else if (page.next === "resend" && entries) {
      if (here) {
        send();
      } else {
        say("unsent", "done");
        offer("send", send);
      }
    } else if (page.next === "home") {
      say("foreign", "done");
      offer("home", () => location.assign("/"));
    } else {
      say("resend", "done");
      if (history.length > 1) offer("back", () => history.back());
    }
  }

  // send sends the form's entries as they were. In windows-1252 each byte is a
  // character, whatever the charset was.
  function send() {
    say("passed", "done");
    const form = document.createElement("form");
    form.method = "post";
    form.action = location.href;
    form.enctype = page.enctype;
    form.acceptCharset = "windows-1252";
    form.hidden = true;
    const sent = entries;
    entries = null;
    form.addEventListener("formdata", ({ formData }) => {
      for (const [name, value] of sent) {
        if (value === null) formData.append(name, new File([], "", { type: "application/octet-stream" }));
        else formData.append(name, value);
      }
    });
    document.body.append(form);
    form.submit();
  }

  // isForeign tells whether a page of another origin frames this one. Browsers
  // send no cookies for a frame there.
  function isForeign() {
    try {
      for (let w = window; w !== w.parent; w = /** @type {any} */ (w.parent)) {
        if (w.parent.location.origin !== location.origin) return true;
      }
      return false;
    } catch (error) {
      return true;
    }
  }

  function enter() {
    if (!isForeign()) {
      load();
      return;
    }
    say("framed", "error");
    offer("window", () => window.open(page.next === "reload" ? location.href : "/", "_blank", "noopener"));
  }

  function main() {
    document.documentElement.dataset.captcha = "running"; // no need for the fallback
    element("button").addEventListener("click", () => {
      element("button").hidden = true;
      action();
    });
    if (element("host")) element("host").textContent = location.host;
    window.addEventListener("message", ({ source, origin, data }) => {
      if (frame && source === frame.contentWindow && origin === location.origin && data && data.captcha === page.policy) hear(data.state);
    });
    window.addEventListener("pageshow", (event) => {
      if (!event.persisted) return;
      if (page.next === "reload") location.reload();
      else enter();
    });
    if (document.hidden) {
      // One of many tabs. Until somebody looks, another may pass for all.
      document.addEventListener("visibilitychange", enter, { once: true });
    } else {
      enter();
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", main);
  else main();
})();
