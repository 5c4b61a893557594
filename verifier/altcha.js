// The adapter of ALTCHA's widget, in the words of its README. The widget is not
// seen: it works by itself, and the page says so.
(function () {
  "use strict";

  const algorithm = "PBKDF2/SHA-256";
  const maxWorkers = 4; // more would keep the whole device busy
  const patience = 10 * 60000; // ms; a challenge lives no longer

  /** @type {any} */ (self).captchaAdapter = {
    provider: "ALTCHA",
    proof: ["altcha"],
    alone: true,
    loaded: () => Boolean(window.customElements && customElements.get("altcha-widget")),

    make(challenge, page, on) {
      if (!window.isSecureContext) {
        on.failed("https"); // elsewhere browsers have no Web Crypto
        return;
      }
      /** @type {any} */ (window).$altcha.algorithms.set(algorithm, () => new Worker(page.files["altcha-worker.js"]));
      const made = /** @type {any} */ (document.createElement("altcha-widget"));
      made.hidden = true;
      made.addEventListener("load", () => {
        made.configure({
          challenge: challenge.challenge,
          display: "invisible",
          humanInteractionSignature: false,
          timeout: patience,
          workers: Math.min(maxWorkers, navigator.hardwareConcurrency || 2),
        });
        on.ready(() => {
          made.verify().then((solved) => {
            if (solved && solved.payload) on.proof({ altcha: solved.payload });
            else on.failed();
          });
        });
      });
      on.made({ destroy: () => made.remove() });
      page.box.append(made);
    },
  };
})();
