// Look-alikes of gt.js and gt4.js, as far as the page uses them.
(function () {
  const style = document.createElement('style'); // as the real ones do
  style.textContent = '#fake-popup button { padding: 20px }';
  document.head.append(style);

  function make(config, callback, version) {
    fake.config = config;
    if (config.product !== 'bind') throw new Error('product');
    if (fake.mode === 'throw') throw new Error('init');
    if (fake.mode === 'stall') return;
    if (fake.mode === 'loaderror') {
      setTimeout(() => config.onError(version === 3 ? { error_code: 'error_101' } : { code: '60101', msg: 'x', desc: {} }));
      return;
    }
    const on = {};
    let proof;
    let ready = false;
    const object = {
      getValidate: () => proof,
      destroy() { fake.calls.push('destroy'); fake.close(); },
      reset() { fake.calls.push('reset'); proof = undefined; },
    };
    for (const name of ['onReady', 'onSuccess', 'onError', 'onClose', 'onFail']) {
      object[name] = (run) => { on[name] = run; return object; };
    }
    const solved = () => {
      const number = String(fake.calls.push('solved'));
      proof = version === 3
        ? { geetest_challenge: config.challenge, geetest_validate: 'v' + number, geetest_seccode: 'v' + number + '|jordan' }
        : { captcha_id: config.captchaId, lot_number: 'lot' + number, captcha_output: 'out', pass_token: 'a+b&c', gen_time: '1' };
      on.onSuccess();
      on.onSuccess(); // a second time does nothing
    };
    const show = () => {
      if (!ready) throw new Error('show before ready');
      fake.calls.push('show');
      if (fake.mode === 'throwinshow') throw new Error('show');
      fake.popup({
        solve: solved,
        close: () => on.onClose(),
        disaster: () => config.offlineCb(),
        error: () => on.onError(version === 3 ? { error_code: 'error_21' } : { code: 60500 }),
      });
    };
    object[version === 3 ? 'verify' : 'showCaptcha'] = show;
    setTimeout(() => {
      callback(object);
      setTimeout(() => {
        if (fake.mode === 'throwlater') setTimeout(() => { throw new Error('later'); });
        if (fake.mode === 'throwlater' || fake.mode === 'neverready') return;
        ready = true;
        on.onReady();
      });
    });
  }
  window.initGeetest = (config, callback) => make(config, callback, 3);
  window.initGeetest4 = (config, callback) => make(config, callback, 4);
})();
