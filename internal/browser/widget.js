// On the challenge page: shows the provider's widget, has the proof verified
// and lets the person go on.
(function () {
  "use strict";

  const script = document.currentScript;
  if (!script || script.dataset.captcha !== "page") return;

  const page = JSON.parse(script.dataset.settings);
  const patience = 20000; // ms to wait for an answer, a script or a widget
  const lifetime = 9 * 60000; // ms; GeeTest v3's challenges live for ten minutes
  const markLifetime = 30000; // ms
  const maxTries = 3; // that start by themselves

  // In a frame the page that was asked for, and not refused, is the content of
  // the dialog in an application's page.
  const dialog = window.parent !== window && !page.outcome;

  const element = (name) => document.getElementById("captcha-" + name);
  const later = {}; // timers by name
  let attempt = 0; // calls from the widget of an earlier attempt are ignored
  let showing = false; // a widget is there, and no proof yet
  let begun = false; // by the person: from now on the widget opens when it is ready
  let widget; // with what the provider's object offers of reset and destroy
  let action; // of the button

  // Providers

  // The names of one language: here, in GeeTest v3 and Tencent, in GeeTest v4.
  const languages = { "zh-CN": ["zh-cn", "zho"], "zh-TW": ["zh-tw", "zho-tw"], en: ["en", "eng"] };
  const [language, language4] = languages[page.lang] || languages.en;

  // For each provider: the global its script makes, the parameters of its
  // proof, and how to make a widget in box. That calls on.made with the widget,
  // on.ready with what opens it (nothing when it is to be seen at once), and
  // on.proof, on.closed or on.failed when the person or the provider is done.
  const providers = {
    geetest_v3: {
      global: "initGeetest",
      proof: ["geetest_challenge", "geetest_validate", "geetest_seccode"],
      make(challenge, box, on) {
        const failed = (error) => on.failed(error && (error.error_code || error.code));
        window.initGeetest({
          gt: challenge.gt,
          challenge: challenge.challenge,
          offline: !challenge.success,
          new_captcha: challenge.new_captcha,
          product: "bind",
          lang: language,
          onError: failed,
        }, (made) => {
          on.made(made);
          made.onReady(() => on.ready(() => made.verify()));
          made.onSuccess(() => on.proof(made.getValidate()));
          made.onError(failed);
          made.onClose(on.closed);
        });
      },
    },

    geetest_v4: {
      global: "initGeetest4",
      proof: ["lot_number", "captcha_output", "pass_token", "gen_time"],
      make(challenge, box, on) {
        const failed = (error) => on.failed(error && error.code);
        window.initGeetest4({
          captchaId: challenge.captcha_id,
          product: "bind",
          language: language4,
          onError: failed,
        }, (made) => {
          on.made(made);
          const show = made.showCaptcha || made.showBox;
          made.onReady(() => on.ready(() => show.call(made)));
          made.onSuccess(() => on.proof(made.getValidate()));
          made.onError(failed);
          made.onClose(on.closed);
        });
      },
    },

    tencent: {
      global: "TencentCaptcha",
      proof: ["ticket", "randstr"],
      make(challenge, box, on) {
        const options = { userLanguage: language, enableDarkMode: true, needFeedBack: false };
        if (challenge.aidEncrypted) {
          options.aidEncrypted = challenge.aidEncrypted;
          options.aidEncryptedType = challenge.aidEncryptedType;
        }
        const done = (result) => {
          if (result.ticket) {
            // A ticket that the widget made itself, because it could not reach
            // Tencent, counts only while the server finds the same.
            on.proof(result, result.errorCode || /^tr?error_/.test(result.ticket));
          } else if (result.ret === 2) {
            on.closed();
          } else {
            on.failed(result.errorCode);
          }
        };
        const Captcha = window.TencentCaptcha;
        if (challenge.site === "intl") {
          const made = new Captcha(box, challenge.captcha_app_id, done, options);
          on.made(made);
          made.show(); // a box to tick
          on.ready();
        } else {
          const made = new Captcha(challenge.captcha_app_id, done, options);
          on.made(made);
          on.ready(() => made.show());
        }
      },
    },
  };

  // What the page says and offers

  function say(name, state, code) {
    const status = element("status");
    status.dataset.state = state || "";
    status.textContent = (page.text[name] || page.text.broken) + (code ? " (" + code + ")" : "");
  }

  function offer(name, run) {
    const button = element("button");
    action = run;
    button.textContent = page.text[name];
    button.hidden = false;
    lead(button);
  }

  // lead moves the focus of who has begun to where to go on, unless it is
  // somewhere already.
  function lead(target) {
    if (begun && document.activeElement === document.body) target.focus();
  }

  // stop ends the attempt with a message and a way to go on, which waits as
  // long as the server asked for.
  function stop(name, run, code, wait) {
    end();
    say(name, "error", code);
    const from = Date.now() + (wait || 0);
    offer("retry", () => {
      begun = true;
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

  function tell(state) {
    window.parent.postMessage({ captcha: page.policy, state }, location.origin);
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

  // retries reports whether the server wants the same again, and sees to it.
  function retries(answer, tries, run) {
    if (answer.status !== 503 || !answer.wait || tries >= maxTries) return false;
    say("busy", "busy");
    after("retry", answer.wait * (1 + Math.random() / 2), run); // not all at once
    return true;
  }

  // load loads the provider's script. A browser that still waits for it would
  // have another try wait as well, if it were for the same URL.
  let loads = 0;
  function load(src) {
    const url = loads++ ? src + "?" + loads : src;
    return new Promise((resolve, reject) => {
      const loader = document.createElement("script");
      const timer = setTimeout(fail, patience);
      function fail() {
        clearTimeout(timer);
        loader.remove();
        reject(new Error("not loaded"));
      }
      loader.onerror = fail;
      loader.onload = () => {
        clearTimeout(timer);
        resolve();
      };
      // Tencent's script takes the first one with "captcha.js" in its URL for
      // its own, unless one has this id. Rocket Loader would run it late.
      loader.id = "CaptchaScript";
      loader.dataset.cfasync = "false";
      loader.src = url;
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
      if (mine === attempt) stop("offline", start);
      return;
    }
    if (mine !== attempt) return;
    const provider = providers[answer.body.provider];
    if (answer.status !== 200 || !provider) {
      if (!retries(answer, tries || 0, () => start((tries || 0) + 1))) {
        stop(answer.body.outcome, start, "", answer.wait);
      }
      return;
    }
    const here = () => typeof window[provider.global] === "function";
    try {
      if (!here()) await load(answer.body.script);
    } catch (error) { /* then it is not here */ }
    if (mine !== attempt) return;
    if (here()) show(provider, answer.body);
    else stop("blocked", start);
  }

  function show(provider, challenge) {
    const mine = attempt;
    const live = (run) => function () {
      if (showing && mine === attempt) run.apply(null, arguments);
    };
    const box = document.createElement("div");
    element("widget").append(box);
    showing = true;
    after("ready", patience, trouble);
    renew();

    let ready = false;
    /** @type {Function} */
    let open = start;
    const on = {
      made(object) {
        if (mine === attempt) widget = object;
        else if (object.destroy) object.destroy();
      },
      ready: live((opener) => {
        if (ready) return;
        ready = true;
        clearTimeout(later.ready);
        if (!opener) {
          after("ready", patience, () => box.offsetHeight || trouble());
          say("solve");
          element("button").hidden = true;
          box.tabIndex = -1;
          lead(box);
          return;
        }
        open = live(() => {
          say("solve");
          offer("open", open);
          try {
            opener();
          } catch (error) {
            on.failed();
          }
        });
        if (begun) {
          open();
        } else {
          say("ready");
          offer("start", () => {
            begun = true;
            open();
          });
        }
      }),
      proof: live((values, local) => {
        const proof = new URLSearchParams();
        for (const name of provider.proof) {
          if (!values || !values[name]) {
            on.failed();
            return;
          }
          proof.append(name, values[name]);
        }
        verify(proof, local, open);
      }),
      closed: live(() => {
        begun = true;
        say("closed");
        offer("open", open);
      }),
      failed: live((code) => {
        if (code === "error_21") stop("expired", start);
        else stop("broken", start, /^[\w-]{1,20}$/.test(code) ? code : "");
      }),
    };
    try {
      provider.make(challenge, box, on);
    } catch (error) {
      on.failed();
    }
  }

  // trouble offers another attempt beside a widget that may still work.
  function trouble() {
    if (!showing) return;
    say("slow", "error");
    offer("retry", () => {
      begun = true;
      start();
    });
  }

  function renew() {
    after("expiry", lifetime, () => stop("expired", start));
  }

  async function verify(proof, local, open, tries) {
    const mine = attempt;
    const again = (more) => () => verify(proof, local, open, more);
    showing = false;
    begun = true;
    clearTimeout(later.expiry);
    element("button").hidden = true;
    say("verifying", "busy");
    let answer;
    try {
      answer = await ask("/verify", { method: "POST", body: proof });
    } catch (error) {
      // The proof may not have arrived; if it has, it is kept for us for a
      // minute, unless it was the answer that got lost.
      if (mine === attempt) stop("offline", again());
      return;
    }
    if (mine !== attempt) return;
    const outcome = answer.body.outcome;
    if (answer.status === 204) {
      passed();
    } else if (local) {
      stop("service", start);
    } else if (answer.body.proof === "reusable") {
      if (!retries(answer, tries || 0, again((tries || 0) + 1))) {
        stop(outcome, again(), "", answer.wait);
      }
    } else if (["rejected", "expired", "replayed"].includes(outcome) && reset()) {
      say(outcome, "error");
      offer("retry", open);
    } else {
      stop(outcome, start, "", answer.wait);
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
    if (dialog) {
      mark();
      tell("passed");
    } else if (page.reload) {
      mark();
      location.reload();
    } else {
      leave("resend");
    }
  }

  function leave(name) {
    say(name, "done");
    if (history.length > 1) offer("back", () => history.back());
  }

  // The mark

  // A mark says that the captcha has been passed just now. If the page is back
  // nevertheless, the clearance did not hold, and trying again by itself would
  // never end. Where cookies are blocked there is no storage either, but the
  // history entry survives a reload.
  const markName = "captcha-" + page.policy;

  function mark() {
    const value = Date.now() + " " + (dialog ? "dialog" : location.href);
    try {
      sessionStorage.setItem(markName, value);
    } catch (error) {
      history.replaceState(Object.assign({}, history.state, { [markName]: value }), "");
    }
  }

  function takeMark() {
    let value = "";
    try {
      value = sessionStorage.getItem(markName);
      sessionStorage.removeItem(markName);
    } catch (error) {
      if (history.state && history.state[markName]) {
        value = history.state[markName];
        history.replaceState(Object.assign({}, history.state, { [markName]: "" }), "");
      }
    }
    const [time, where] = (value || "").split(" ");
    if (!(Date.now() - Number(time) < markLifetime)) return false;
    // After the dialog come the dialog again or what the application sent; on
    // a page, nothing but its own reload.
    return where === "dialog" ? dialog || !page.reload : where === location.href && isReload();
  }

  function isReload() {
    const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
    return !navigation || navigation.type === "reload";
  }

  // The page

  // keepsCookies tries. What navigator.cookieEnabled says is not what the
  // browser does for this site.
  function keepsCookies() {
    const name = "captcha-test-" + Math.random().toString(36).slice(2);
    document.cookie = name + "=1; SameSite=Strict";
    const kept = document.cookie.includes(name);
    document.cookie = name + "=; SameSite=Strict; Max-Age=0";
    return kept;
  }

  function enter() {
    begun = false;
    if (page.cleared) {
      if (dialog) tell("passed");
      else leave("cleared");
      return;
    }
    if (dialog) tell("show");
    const back = takeMark();
    const reason = page.reason;
    if (!keepsCookies()) {
      stop("lost_none", enter);
    } else if (back && !(dialog && (reason === "used_up" || reason === "expired"))) {
      stop(page.text["lost_" + reason] ? "lost_" + reason : "lost_invalid", start);
    } else {
      // Who opened the dialog did so by asking for something. Once.
      begun = dialog && !back;
      start();
    }
  }

  // reenter is for a page that was out of sight while things may have changed.
  function reenter() {
    if (page.reload && !dialog) location.reload();
    else enter();
  }

  function main() {
    element("button").addEventListener("click", () => {
      element("button").hidden = true;
      action();
    });
    if (element("host")) element("host").textContent = location.host;
    if (dialog) {
      document.documentElement.dataset.framed = "";
      const close = element("close");
      if (close) {
        close.hidden = false;
        close.addEventListener("click", () => tell("closed"));
      }
      document.addEventListener("keydown", (event) => {
        if (event.key === "Escape" && !event.defaultPrevented) tell("closed");
      });
    }
    const harmless = (event) => /^ResizeObserver/.test(event.message);
    window.addEventListener("error", (event) => {
      if (!harmless(event)) trouble();
    });
    window.addEventListener("unhandledrejection", trouble);
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) reenter();
    });
    if (document.hidden && !dialog) {
      // One of many tabs. Until somebody looks, another may pass for all.
      document.addEventListener("visibilitychange", reenter, { once: true });
    } else {
      enter();
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", main);
  else main();
})();
