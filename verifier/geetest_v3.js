// The adapter of GeeTest CAPTCHA v3, in the words of GeeTest's page "API
// reference, web".
(function () {
  "use strict";

  // The widget's languages, by ours.
  const languages = { "zh-CN": "zh-cn", "zh-TW": "zh-tw", pt: "pt-pt" };

  /** @type {any} */ (self).captchaAdapter = {
    provider: "GeeTest",
    proof: ["geetest_challenge", "geetest_validate", "geetest_seccode"],
    loaded: () => typeof window.initGeetest === "function",

    // What the widget makes of a challenge with success 0.
    offline: ({ challenge }) => ({
      geetest_challenge: challenge,
      geetest_validate: challenge,
      geetest_seccode: challenge + "|jordan",
    }),

    make(challenge, page, on) {
      const failed = (error) => on.failed(error && (error.error_code || error.code));
      window.initGeetest(Object.assign({ timeout: 8000 }, challenge.widget, {
        gt: challenge.gt,
        challenge: challenge.challenge,
        offline: !challenge.success,
        new_captcha: challenge.new_captcha,
        product: "bind",
        lang: languages[page.lang] || page.lang,
        onError: failed,
      }), (made) => {
        on.made(made);
        made.onReady(() => on.ready(() => made.verify()));
        made.onSuccess(() => on.proof(made.getValidate()));
        made.onError(failed);
        made.onClose(on.closed);
      });
    },
  };
})();
