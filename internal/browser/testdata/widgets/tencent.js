// Look-alikes of TJCaptcha.js and, with "intl" in the URL's query,
// TJNCaptcha-global.js.
(function () {
  window.TencentCaptcha = function () {
    const args = Array.from(arguments);
    if (fake.mode === 'throw') throw new Error('init');
    let box;
    if (fake.mode.startsWith('intl')) {
      box = args.shift();
      if (!(box instanceof HTMLElement)) throw new Error('The parameter of the constructor of the Captcha is passed incorrectly');
    }
    const [id, done, options] = args;
    if (typeof id !== 'string' || typeof done !== 'function') throw new Error('arguments');
    fake.config = Object.assign({ id }, options);
    const answer = (result) => () => {
      fake.calls.push(String(result.ret));
      done(Object.assign({ CaptchaAppId: id, bizState: null }, result));
    };
    const popup = () => fake.popup({
      solve: answer({ ret: 0, ticket: 't03' + '*'.repeat(20), randstr: '@abc' }),
      close: answer({ ret: 2, ticket: null }),
      disaster: answer({ ret: 0, ticket: 'trerror_1006_' + id + '_1700000000', randstr: '@x', errorCode: 1006, errorMessage: 'x' }),
      failure: answer({ ret: 0, ticket: null, errorCode: 1012, errorMessage: 'x' }),
    });
    this.show = () => {
      fake.calls.push('show');
      if (!box) {
        popup();
        return;
      }
      if (fake.mode === 'intlnorender') return;
      const tick = document.createElement('button');
      tick.id = 'fake-tick';
      tick.textContent = 'I am human';
      tick.onclick = popup;
      box.replaceChildren(tick);
    };
    this.destroy = () => { fake.calls.push('destroy'); fake.close(); };
  };
})();
