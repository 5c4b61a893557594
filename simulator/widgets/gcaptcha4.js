// The widget of GeeTest CAPTCHA v4 and its instance's methods.

var offlineProof = typeof localProof === 'function' ? localProof : null;

window.Geetest4 = function (config, data) {
  var self = this;
  var handlers = {};
  var state = 'loading'; // then ready, or over
  var proof = null;
  var container = null;
  var openButton = null;
  var shown = null;
  var wanted = false; // to be shown as soon as the next captcha is there

  var call = function (name, value) {
    if (state === 'over' || !handlers[name]) {
      return;
    }
    handlers[name](value);
  };
  var fail = function (code, msg, detail) {
    var error = { code: code, msg: msg, desc: { detail: detail } };
    if (shown) {
      shown.state('error', msg);
    }
    if (state === 'over') {
      return;
    }
    if (handlers.onError) {
      handlers.onError(error);
    } else if (typeof config.onError === 'function') {
      config.onError(error);
    }
  };
  ['onReady', 'onNextReady', 'onBoxShow', 'onSuccess', 'onFail', 'onError', 'onClose'].forEach(function (name) {
    self[name] = function (handler) {
      if (typeof handler === 'function') {
        handlers[name] = handler;
        if (name === 'onReady' && state === 'ready') {
          setTimeout(function () { call('onReady'); }, 0);
        }
      }
      return self;
    };
  });

  var hide = function () {
    if (shown) {
      shown.remove();
      shown = null;
    }
  };

  var passed = function (seccode) {
    proof = seccode;
    shown.state('passed');
    if (config.product === 'bind' || config.product === 'popup') {
      hide();
    }
    if (openButton) {
      openButton.disabled = true;
    }
    call('onSuccess', seccode);
  };

  var solve = function () {
    shown.state('checking');
    if (offlineProof) {
      passed(offlineProof(config.captchaId));
      return;
    }
    var answer = { passed: true };
    var solving = data;
    window._gct(answer, function () { verify(answer, solving); }, function () {
      fail('60205', 'the worker of gct4.js cannot be started', 'error');
    });
  };

  var verify = function (answer, solving) {
    jsonp('/verify', {
      captcha_id: config.captchaId,
      client_type: isMobile() ? 'h5' : 'web',
      lot_number: data.lot_number,
      payload: data.payload,
      process_token: data.process_token,
      payload_protocol: data.payload_protocol,
      pt: data.pt,
      w: btoa(JSON.stringify(answer))
    }, config.timeout, function (reply) {
      if (state === 'over' || data !== solving || !shown) {
        return; // reset or closed meanwhile
      }
      if (reply.status !== 'success') {
        fail('60101', '/verify failed: ' + reply.msg, reply.code);
        return;
      }
      data.payload = reply.data.payload;
      data.process_token = reply.data.process_token;
      if (reply.data.result === 'success') {
        passed(reply.data.seccode);
        return;
      }
      shown.state('failed');
      call('onFail', { captchaId: config.captchaId, captchaType: data.captcha_type, lotNumber: data.lot_number });
    }, function (how) {
      if (state !== 'over' && data === solving) {
        fail('60101', '/verify failed', how);
      }
    });
  };

  // show shows the box: in the page for float, over the page otherwise.
  var show = function () {
    if (shown || proof) {
      return;
    }
    if (!offlineProof && !data.lot_number) {
      wanted = true;
      return;
    }
    var popup = config.product !== 'float';
    shown = box({
      container: popup ? document.body : container,
      provider: 'geetest_v4',
      language: config.language,
      popup: popup,
      picture: data.bg && origin + data.bg,
      opened: function () { call('onNextReady'); },
      broken: function () { fail('60202', 'the picture cannot be loaded', 'error'); },
      solve: solve,
      close: popup && function () {
        hide();
        call('onClose');
      }
    });
    if (popup) {
      shown.focus();
      call('onBoxShow');
    }
  };

  var render = function () {
    if (config.product === 'bind' || state !== 'ready' || !container) {
      return;
    }
    if (config.product === 'popup') {
      openButton = opener(container, config.language, show);
    } else {
      show();
    }
  };

  // reload gets a new captcha for the same instance.
  var reload = function () {
    if (offlineProof) {
      return;
    }
    jsonp('/load', { captcha_id: config.captchaId, client_type: isMobile() ? 'h5' : 'web', lang: config.language }, config.timeout, function (answer) {
      if (answer.status !== 'success') {
        fail('60100', '/load failed: ' + answer.msg, answer.code);
        return;
      }
      if (state === 'over') {
        return;
      }
      data = answer.data;
      render();
      if (wanted) {
        wanted = false;
        show();
      }
    }, function (how) { fail('60100', '/load failed', how); });
  };

  self.appendTo = function (target) {
    if (config.product === 'bind') {
      return self;
    }
    container = find(target);
    if (!container) {
      fail('60002', 'appendTo takes an id selector or an element', String(target));
      return self;
    }
    render();
    return self;
  };
  self.showCaptcha = self.showBox = function () {
    if (state !== 'ready') {
      return self; // before ready it has no effect
    }
    if (config.product === 'float' && !container) {
      return self;
    }
    show();
    return self;
  };
  self.getValidate = function () {
    return proof || false;
  };
  self.reset = function () {
    if (state !== 'ready') {
      return self;
    }
    proof = null;
    hide();
    if (openButton) {
      openButton.remove();
      openButton = null;
    }
    if (offlineProof) {
      render();
    } else {
      data = {};
      reload();
    }
    return self;
  };
  self.destroy = function () {
    hide();
    if (openButton) {
      openButton.remove();
    }
    state = 'over';
    proof = null;
  };

  var ready = function () {
    if (state !== 'loading') {
      return;
    }
    state = 'ready';
    render();
    call('onReady');
  };
  // After the callback that gets this instance has set its handlers.
  setTimeout(function () {
    if (offlineProof) {
      ready();
      return;
    }
    loadStyle(origin + data.css, config.timeout, ready, function (how) {
      fail('60200', 'the style sheet cannot be loaded', how);
    });
  }, 0);
};
