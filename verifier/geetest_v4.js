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

  const init = () => window.initGeetest4 || window.initAlicom4;

  /** @type {any} */ (self).captchaAdapter = {
    provider: "GeeTest",
    proof: ["lot_number", "captcha_output", "pass_token", "gen_time"],
    loaded: () => typeof init() === "function",

    make(challenge, page, on) {
      const failed = (error) => on.failed(error && error.code);
      init()(Object.assign({ timeout: 7000 }, challenge.widget, {
        captchaId: challenge.captcha_id,
        product: "bind",
        language: languages[page.lang] || "eng",
        onError: failed,
        // Without it the widget would make a proof of its own when it cannot
        // reach GeeTest, which looks like any other and is none.
        offlineCb: () => on.offline(),
      }), (made) => {
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
