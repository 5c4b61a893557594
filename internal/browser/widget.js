// On the widget page: shows the provider's widget, has the proof verified and
// tells who frames the page. What differs between providers is in the adapter
// of the verifier, which runs before.
(function () {
  "use strict";

  const script = document.currentScript;
  if (!script || script.dataset.captcha !== "widget") return;

  const text = self.captchaText;
  const adapter = /** @type {any} */ (self).captchaAdapter;
  const page = JSON.parse(script.dataset.settings);
  const patience = 20000; // ms to wait for the server
  const providersPatience = 32000; // ms; the loaders try several hosts, of 7 or 8 seconds each
  const outagePatience = 10000; // ms; while they are known to be down
  const lifetime = 9 * 60000; // ms; GeeTest v3's challenges live for ten minutes
  const markLifetime = 30000; // ms
  const maxTries = 3; // that start by themselves

  const framed = window.parent !== window;

  const element = (name) => document.getElementById("captcha-" + name);
  const later = {}; // timers by name
  let begun = false; // a person waits
  let prepared = null; // before: what to do for the person when they come
  let attempt = 0; // calls from the widget of an earlier attempt are ignored
  let showing = false; // a widget is there, and no proof yet
  let challenge = {};
  let widget; // with what the provider's object offers of reset and destroy
  let action; // of the button

  // What the page says and offers

  function say(name, state, code) {
    const status = element("status");
    status.dataset.state = state || "";
    status.textContent = (text[name] || text.broken) + (code ? " (" + code + ")" : "");
  }

  function offer(name, run) {
    const button = element("button");
    action = run;
    button.textContent = text[name];
    button.hidden = false;
    lead(button);
  }

  // lead moves the focus to where to go on, unless it is somewhere already.
  function lead(target) {
    if (document.activeElement === document.body) target.focus();
  }

  // stop ends the attempt with a message and a way to go on, which waits as
  // long as the server asked for.
  function stop(name, run, code, wait) {
    end();
    if (prepared) prepared = again;
    say(name, "error", code);
    const from = Date.now() + (wait || 0);
    offer("retry", () => {
      const rest = from - Date.now();
      if (rest <= 0) {
        run();
      } else {
        say("busy", "busy");
        after("retry", rest, run);
      }
    });
  }

  function after(name, delay, run) {
    clearTimeout(later[name]);
    later[name] = setTimeout(run, delay);
  }

  function tell(state, more) {
    if (framed) window.parent.postMessage(Object.assign({ captcha: page.policy, state }, more), location.origin);
  }

  // again starts anew, in a fresh document: providers' scripts remember a
  // failure for the life of theirs.
  function again() {
    if (framed) tell("again");
    else location.reload();
  }

  // The server

  async function ask(path, options) {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), patience);
    try {
      const response = await fetch(page.base + path, Object.assign({
        cache: "no-store",
        credentials: "same-origin",
        redirect: "error",
        signal: abort.signal,
      }, options));
      const isJSON = /json/.test(response.headers.get("Content-Type"));
      return {
        status: response.status,
        wait: Math.min(60, Number(response.headers.get("Retry-After")) || 0) * 1000,
        body: (isJSON && await response.json()) || {},
      };
    } finally {
      clearTimeout(timer);
    }
  }

  // isAway reports whether the server knows of an outage, which will not be
  // over in a moment.
  const isAway = ({ outcome, reason }) => outcome === "outage" && reason === "down";

  const nameOf = (refusal) => (isAway(refusal) ? "away" : refusal.outcome);

  // retries reports whether the server wants the same again, and sees to it.
  function retries(answer, tries, run) {
    if (answer.status !== 503 || !answer.wait || tries >= maxTries || isAway(answer.body)) return false;
    say("busy", "busy");
    after("retry", answer.wait * (1 + Math.random() / 2), run); // not all at once
    return true;
  }

  function load(src) {
    return new Promise((resolve, reject) => {
      const loader = document.createElement("script");
      const timer = setTimeout(reject, patienceWithProvider());
      loader.onerror = () => {
        clearTimeout(timer);
        reject();
      };
      loader.onload = () => {
        clearTimeout(timer);
        resolve();
      };
      // Tencent's script takes the first one with "captcha.js" in its URL for
      // its own, unless one has this id. Rocket Loader would run it late.
      loader.id = "CaptchaScript";
      loader.dataset.cfasync = "false";
      if (page.files[src]) {
        loader.type = "module";
        loader.nonce = script.nonce;
      }
      loader.src = page.files[src] || src;
      document.head.append(loader);
    });
  }

  // One attempt

  // end takes the widget away and makes all that is still to come from it, or
  // from the server, come too late.
  function end() {
    attempt++;
    showing = false;
    Object.values(later).forEach(clearTimeout);
    try {
      if (widget && widget.destroy) widget.destroy();
    } catch (error) { /* there is nothing more to do with it */ }
    widget = undefined;
    element("widget").textContent = "";
    element("button").hidden = true;
  }

  async function start(tries) {
    end();
    const mine = attempt;
    say("loading", "busy");
    let answer;
    try {
      answer = await ask("/challenge");
    } catch (error) {
      if (mine === attempt) stop("offline", again);
      return;
    }
    if (mine !== attempt) return;
    challenge = answer.body;
    if (answer.status !== 200 || !challenge.script) {
      if (!retries(answer, tries, () => start(tries + 1))) stop(nameOf(challenge), again, "", answer.wait);
      return;
    }
    if (page.provider && challenge.provider !== page.provider) {
      // An outage has begun or ended: this page is for another widget.
      say("busy", "busy");
      after("retry", 1000 * (1 + Math.random()), again);
      return;
    }
    try {
      if (!adapter.loaded()) await load(challenge.script);
    } catch (error) { /* then it is not here */ }
    if (mine !== attempt) return;
    if (adapter.loaded()) show();
    else if (!goesAlone()) stop("blocked", again);
  }

  function patienceWithProvider() {
    return challenge.down ? outagePatience : providersPatience;
  }

  // goesAlone does without the widget, if the provider is down and the server
  // takes what a page can make by itself then.
  function goesAlone() {
    if (!challenge.down || !adapter.offline) return false;
    end();
    const present = () => {
      say("down");
      offer("go_on", () => verify(adapter.offline(challenge), again));
    };
    if (prepared) prepared = present;
    else present();
    return true;
  }

  function show() {
    const mine = attempt;
    const live = (run) => function () {
      if (showing && mine === attempt) run.apply(null, arguments);
    };
    const box = document.createElement("div");
    element("widget").append(box);
    showing = true;
    after("ready", patienceWithProvider(), trouble);
    renew();

    // work says what a widget does of which nothing is seen.
    function work() {
      element("lead").textContent = challenge.down ? text.down : text.alone;
      say("working", "busy");
    }

    let ready = false;
    /** @type {Function} */
    let open = again;

    // The person hears what to do when there is something to see.
    const look = live(() => {
      const others = [...document.body.children].some((other) => other instanceof HTMLElement && !other.contains(box) && other.offsetHeight > 0);
      if (box.offsetHeight || others) {
        clearTimeout(later.ready);
        say(challenge.down ? "down" : "solve");
      } else {
        after("look", 200, look);
      }
    });

    const on = {
      made(object) {
        if (mine === attempt) widget = object;
        else if (object.destroy) object.destroy();
      },
      ready: live((opener) => {
        if (ready) return;
        ready = true;
        if (opener) {
          open = live(() => {
            element("button").hidden = true;
            if (adapter.alone) work();
            else look();
            try {
              opener();
            } catch (error) {
              on.failed();
            }
          });
        }
        const present = live(() => {
          if (!adapter.alone) after("ready", patienceWithProvider(), trouble);
          if (opener) {
            open();
            return;
          }
          box.tabIndex = -1;
          lead(box);
          look();
        });
        clearTimeout(later.ready);
        if (prepared) prepared = present;
        else present();
      }),
      proof: live((values) => verify(values, open)),
      closed: live(() => {
        clearTimeout(later.look);
        clearTimeout(later.ready);
        say("closed");
        offer("open", open);
      }),
      failed: live((code) => {
        if (code === "error_21") stop("expired", again);
        else if (!goesAlone()) stop("broken", again, codeOf(code));
      }),
      // The server alone knows whether there is an outage. Otherwise what the
      // widget makes by itself is no proof.
      offline: live((code, values) => {
        if (values && challenge.down) verify(values, open);
        else if (!goesAlone()) stop("service", again, codeOf(code));
      }),
    };
    try {
      adapter.make(challenge, { lang: page.lang, box, files: page.files }, on);
    } catch (error) {
      on.failed();
    }
  }

  function codeOf(code) {
    return /^[\w-]{1,20}$/.test(code) ? code : "";
  }

  // trouble offers another attempt beside a widget that may still work.
  function trouble() {
    if (!showing || goesAlone()) return;
    say("slow", "error");
    offer("retry", again);
  }

  function renew() {
    after("expiry", lifetime, () => stop("expired", again));
  }

  function verify(values, open) {
    const proof = new URLSearchParams();
    for (const name of adapter.proof) {
      if (!values || !values[name]) {
        stop("broken", again);
        return;
      }
      proof.append(name, values[name]);
    }
    send(proof, open, 0);
  }

  async function send(proof, open, tries) {
    const mine = attempt;
    const repeat = (more) => () => send(proof, open, more);
    showing = false;
    Object.values(later).forEach(clearTimeout);
    element("button").hidden = true;
    say("verifying", "busy");
    let answer;
    try {
      answer = await ask("/verify", { method: "POST", body: proof });
    } catch (error) {
      // The proof may not have arrived; if it has, it is kept for us for a
      // minute, unless it was the answer that got lost.
      if (mine === attempt) stop("offline", repeat(tries));
      return;
    }
    if (mine !== attempt) return;
    const outcome = answer.body.outcome;
    if (answer.status === 204) {
      passed();
    } else if (answer.body.proof === "reusable") {
      if (!retries(answer, tries, repeat(tries + 1))) stop(nameOf(answer.body), repeat(tries), "", answer.wait);
    } else if (["rejected", "expired", "replayed"].includes(outcome) && reset()) {
      say(outcome, "error");
      offer("retry", open);
    } else {
      stop(outcome, again, "", answer.wait);
    }
  }

  // reset makes the widget ready for another proof, if it can.
  function reset() {
    if (!widget || !widget.reset) return false;
    try {
      widget.reset();
    } catch (error) {
      return false;
    }
    showing = true;
    renew();
    return true;
  }

  function passed() {
    end();
    say("passed", "done");
    mark();
    if (tabs) tabs.postMessage("passed");
    finish("passed");
  }

  // finish lets who frames this page go on. By itself it is a window that an
  // application's page has opened.
  function finish(how) {
    begun = false;
    if (framed) {
      tell(how);
      return;
    }
    end();
    say("cleared", "done");
    window.close();
  }

  // The mark

  // A mark says that the captcha has been passed just now. If a captcha is due
  // again nevertheless, the clearance did not hold, and trying again by itself
  // would never end.
  const markName = "captcha-" + page.policy;

  function mark() {
    try {
      sessionStorage.setItem(markName, String(Date.now()));
    } catch (error) { /* there is none */ }
  }

  function takeMark() {
    try {
      const time = Number(sessionStorage.getItem(markName));
      sessionStorage.removeItem(markName);
      return Date.now() - time < markLifetime;
    } catch (error) {
      return undefined;
    }
  }

  // keepsCookies tries. What navigator.cookieEnabled says is not what the
  // browser does for this site.
  function keepsCookies() {
    const name = "captcha-test-" + Math.random().toString(36).slice(2);
    document.cookie = name + "=1; SameSite=Strict";
    const kept = document.cookie.includes(name);
    document.cookie = name + "=; SameSite=Strict; Max-Age=0";
    return kept;
  }

  // The page

  // begin is for a person who waits. reason says why the request of the page
  // that frames this one was refused, and back, of a page that reloads itself
  // when it is passed, whether it has come back by a reload.
  /** @param {{back?: boolean, reason?: string}} settings */
  function begin({ back, reason = page.reason }) {
    if (begun) return;
    begun = true;
    const marked = takeMark();
    const passedBefore = marked === undefined ? back : marked; // without storage a reload has to do
    const usedUp = reason === "used_up" || reason === "expired"; // by what came after, which is as it should be
    // A clearance that is good here and was not there is lost, too.
    const lost = back === undefined
      ? passedBefore && !usedUp || page.cleared && reason === "binding"
      : back && (passedBefore || page.cleared);
    if (page.cleared && !lost) {
      finish("cleared");
      return;
    }
    tell("show");
    const present = prepared;
    prepared = null;
    if (!keepsCookies()) stop("lost_none", restart);
    else if (lost) stop(text["lost_" + reason] ? "lost_" + reason : "lost_invalid", restart);
    else if (present) present();
    else start(0);
  }

  // prepare gets everything ready to be shown.
  function prepare() {
    if (begun || prepared) return;
    prepared = () => {}; // what comes next shows itself
    start(0);
  }

  function restart() {
    if (keepsCookies()) start(0);
    else stop("lost_none", restart);
  }

  // Other pages of the site hear of a pass, and each asks what it means for it.
  let tabs = null;

  function listen() {
    if (typeof BroadcastChannel !== "function") return;
    tabs = new BroadcastChannel("captcha-" + page.policy);
    tabs.onmessage = async () => {
      const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ method: "GET", url: page.base + "/" }) };
      const answer = await ask("/needed", options).catch(() => undefined);
      if (!answer || !answer.body.cleared) return;
      end();
      finish("cleared");
    };
  }

  function main() {
    element("button").addEventListener("click", () => {
      element("button").hidden = true;
      action();
    });
    element("host").textContent = location.host;
    element("provider").textContent = text.by.replace("%s", adapter.provider);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented) tell("closed");
    });
    const harmless = (event) => /^ResizeObserver/.test(event.message);
    window.addEventListener("error", (event) => {
      if (!harmless(event)) trouble();
    });
    window.addEventListener("unhandledrejection", trouble);
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) again();
    });
    listen();
    if (!framed) {
      begin({});
      return;
    }
    document.documentElement.dataset.framed = "";
    // Until a person waits they may be typing in the page around this one.
    const { focus } = HTMLElement.prototype;
    HTMLElement.prototype.focus = function (options) {
      if (begun) focus.call(this, options);
    };
    window.addEventListener("message", ({ source, origin, data }) => {
      if (source !== window.parent || origin !== location.origin || !data || data.captcha !== page.policy) return;
      if (data.state === "prepare") prepare();
      if (data.state !== "begin") return;
      element("id").textContent = data.id || "";
      begin(data);
    });
    const { title, close, note, look, late } = text;
    tell("hello", { cleared: page.cleared, text: { title, close, note, open: look, late } });
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", main);
  else main();
})();
