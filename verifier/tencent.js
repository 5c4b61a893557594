// The adapter of Tencent Captcha, in the words of Tencent's page "Web
// integration".
(function () {
  "use strict";

  /** @type {any} */ (self).captchaAdapter = {
    provider: "Tencent",
    proof: ["ticket", "randstr"],
    loaded: () => typeof window.TencentCaptcha === "function",

    // What Tencent's page has a site make where its script cannot be loaded.
    offline: (challenge) => ({
      ticket: "trerror_1001_" + challenge.captcha_app_id + "_" + Math.floor(Date.now() / 1000),
      randstr: "@" + Math.random().toString(36).slice(2, 13),
    }),

    make(challenge, page, on) {
      const options = Object.assign({ enableDarkMode: true, needFeedBack: false }, challenge.widget, {
        userLanguage: page.lang.toLowerCase(),
      });
      if (challenge.aidEncrypted) {
        options.aidEncrypted = challenge.aidEncrypted;
        options.aidEncryptedType = challenge.aidEncryptedType;
      }
      const done = (result) => {
        if (result.ret === 2) on.closed();
        // A ticket that the widget made itself, because it could not reach
        // Tencent, is no proof, but in an outage that the server knows of.
        else if (result.errorCode || /^tr?error_/.test(result.ticket)) on.offline(result.errorCode, result);
        else if (result.ticket) on.proof(result);
        else on.failed();
      };
      const id = challenge.captcha_app_id;
      const Captcha = window.TencentCaptcha;
      if (challenge.site === "intl") {
        const made = new Captcha(page.box, id, done, options);
        on.made(made);
        made.show(); // a box to tick, or with the type embed the captcha itself
        on.ready();
        return;
      }
      const isEmbedded = options.type === "embed";
      const made = isEmbedded ? new Captcha(page.box, id, done, options) : new Captcha(id, done, options);
      on.made(made);
      if (isEmbedded) {
        made.show();
        on.ready();
      } else {
        on.ready(() => made.show());
      }
    },
  };
})();
