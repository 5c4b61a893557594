// The adapter of GeeTest CAPTCHA v4, in the words of GeeTest's page "API
// reference, web". Alibaba Cloud's number authentication service has the same
// widget under another name.
(function () {
  "use strict";

  // The widget's languages, by ours. It has no other, and would then take the
  // browser's.
  const languages = {
    "zh-CN": "zho", "zh-TW": "zho-tw", en: "eng", ja: "jpn", ko: "kor", de: "deu",
    fr: "fra", es: "spa", pt: "por", ru: "rus", id: "ind", ar: "ara",
  };

  const digits = (n) => Array.from({ length: n }, () => Math.floor(Math.random() * 16).toString(16)).join("");

  const init = () => window.initGeetest4 || window.initAlicom4;

  /** @type {any} */ (self).captchaAdapter = {
    provider: "GeeTest",
    proof: ["lot_number", "captcha_output", "pass_token", "gen_time"],
    loaded: () => typeof init() === "function",

    // What the widget makes when it cannot reach GeeTest.
    offline: () => ({
      lot_number: digits(32),
      captcha_output: digits(128),
      pass_token: digits(64),
      gen_time: String(Math.floor(Date.now() / 1000)),
    }),

    make(challenge, page, on) {
      const failed = (error) => on.failed(error && error.code);
      const options = Object.assign({ timeout: challenge.down ? 3000 : 7000 }, challenge.widget, {
        captchaId: challenge.captcha_id,
        product: "bind",
        language: languages[page.lang] || "eng",
        onError: failed,
      });
      // Without it the widget makes a proof of its own when it cannot reach
      // GeeTest, which looks like any other and is none, but in an outage that
      // the server knows of.
      if (!challenge.down) options.offlineCb = () => on.offline();
      init()(options, (made) => {
        on.made(made);
        const show = made.showCaptcha || made.showBox;
        made.onReady(() => on.ready(() => show.call(made)));
        made.onSuccess(() => on.proof(made.getValidate()));
        made.onError(failed);
        made.onClose(on.closed);
      });
    },
  };
})();
