// The widget of GeeTest CAPTCHA v3 and its instance's methods.

var isOffline = typeof offlineValidate === 'function';

// A challenge is good for ten minutes; the widget has it replaced before.
var renewal = 540000;

function Geetest(config) {
  var self = this;
  var handlers = {};
  var state = 'loading'; // then ready, or over
  var proof = null;
  var container = null;
  var form = null; // the hidden inputs of appendTo
  var forms = [];  // and of bindForm
  var openButton = null;
  var shown = null;
  var data = {};
  var wanted = false; // to be shown as soon as the next challenge is there
  var timer = null;
  var language = config.lang || 'zh-cn';
  var timeout = config.timeout || 30000;
  var product = config.product === undefined ? 'popup' : config.product;
  if (['popup', 'custom', 'bind'].indexOf(product) < 0) {
    product = 'float';
  }

  var fail = function (code, msg) {
    if (shown) {
      shown.state('error', msg);
    }
    if (state === 'over') {
      return;
    }
    if (handlers.onError) {
      handlers.onError({ error_code: code, msg: msg, user_error: msg });
    }
  };
  var call = function (name) {
    if (state === 'over' || !handlers[name]) {
      return;
    }
    try {
      handlers[name]();
    } catch (error) {
      fail('error_116', 'the callback of ' + name + ' threw: ' + error);
    }
  };
  ['onReady', 'onSuccess', 'onError', 'onClose', 'onRefresh'].forEach(function (name) {
    self[name] = function (handler) {
      if (typeof handler !== 'function') {
        fail('error_102', name + ' takes a function');
        return self;
      }
      handlers[name] = handler;
      if (name === 'onReady' && state === 'ready') {
        setTimeout(function () { call('onReady'); }, 0);
      }
      return self;
    };
  });

  // request calls one of the endpoints, with the challenge as it is then.
  var request = function (path, parameters, code, ok) {
    var challenge = config.challenge;
    jsonp(path, Object.assign({
      gt: config.gt,
      challenge: challenge,
      lang: language,
      client_type: isMobile() ? 'h5' : 'web'
    }, parameters), timeout, function (answer) {
      if (state === 'over' || config.challenge !== challenge) {
        return; // reset meanwhile
      }
      if (answer.status !== 'success') {
        fail(answer.error_code || code, path + ' failed: ' + answer.error);
        return;
      }
      ok(answer.data);
    }, function (how) {
      if (config.challenge === challenge) {
        fail(code, path + ' failed: ' + how);
      }
    });
  };

  var inputs = function () {
    var element = document.createElement('div');
    element.className = 'geetest_form';
    ['geetest_challenge', 'geetest_validate', 'geetest_seccode'].forEach(function (name) {
      var input = document.createElement('input');
      input.type = 'hidden';
      input.name = name;
      element.appendChild(input);
    });
    return element;
  };
  var fillInputs = function () {
    forms.concat(form || []).forEach(function (element) {
      element.querySelectorAll('input').forEach(function (input) {
        input.value = proof ? proof[input.name] : '';
      });
    });
  };

  var hide = function () {
    if (shown) {
      shown.remove();
      shown = null;
    }
  };

  var passed = function (challenge, validate) {
    proof = {
      geetest_challenge: challenge,
      geetest_validate: validate,
      geetest_seccode: validate + '|jordan'
    };
    clearTimeout(timer);
    fillInputs();
    shown.state('passed');
    if (product !== 'float') {
      hide();
    }
    if (openButton) {
      openButton.disabled = true;
    }
    call('onSuccess');
  };

  var solve = function () {
    shown.state('checking');
    if (isOffline) {
      passed(config.challenge, offlineValidate(config.challenge));
      return;
    }
    request('/ajax.php', { w: btoa('passed') }, 'error_105', function (answer) {
      if (!shown) {
        return;
      }
      if (answer.result === 'success') {
        passed(answer.challenge, answer.validate);
        return;
      }
      shown.state('failed');
      request('/refresh.php', {}, 'error_106', function () { call('onRefresh'); });
    });
  };

  var show = function () {
    if (shown || proof) {
      return;
    }
    var parent = product === 'float' ? container : document.body;
    if (product === 'custom') {
      parent = find(config.area);
    }
    shown = box({
      container: parent,
      provider: 'geetest_v3',
      language: language,
      popup: product === 'popup' || product === 'bind',
      picture: data.bg && origin + data.bg,
      broken: function () { fail('error_108', 'the picture cannot be loaded'); },
      solve: solve,
      close: product !== 'float' && function () {
        hide();
        call('onClose');
      }
    });
    if (product !== 'float') {
      shown.focus();
    }
  };

  var render = function () {
    if (state !== 'ready' || !container || product === 'bind') {
      return;
    }
    if (product === 'float') {
      show();
    } else {
      openButton = opener(container, language, show);
    }
  };

  // renew replaces a challenge that is getting old, without the person noticing.
  var renew = function () {
    renewLater();
    if (state !== 'ready') {
      return;
    }
    request('/reset.php', {}, 'error_109', function (answer) {
      if (!proof && !(shown && shown.element.dataset.state === 'checking')) {
        config.challenge = answer.challenge;
      }
    });
  };
  var renewLater = function () {
    clearTimeout(timer);
    timer = setTimeout(renew, renewal);
  };

  // prepare gets what the challenge needs to be shown.
  var prepare = function (done) {
    if (isOffline) {
      done();
      return;
    }
    renewLater();
    request('/get.php', {}, 'error_104', function (answer) {
      data = answer;
      loadStyle(origin + data.css, timeout, done, function () {
        fail('error_107', 'the style sheet cannot be loaded');
      });
    });
  };

  self.appendTo = function (target) {
    if (product === 'bind') {
      return self;
    }
    container = find(target);
    if (!container) {
      fail('error_100', 'appendTo takes an id selector or an element');
      return self;
    }
    form = inputs();
    container.appendChild(form);
    render();
    return self;
  };
  self.bindForm = function (target) {
    var element = find(target);
    if (!element) {
      fail('error_101', 'bindForm takes an id selector or an element');
      return self;
    }
    forms.push(element.appendChild(inputs()));
    fillInputs();
    return self;
  };
  self.getValidate = function () {
    return proof || false;
  };
  self.verify = function () {
    if (product !== 'bind' || state === 'over') {
      return self;
    }
    if (state === 'ready') {
      show();
    } else if (state === 'resetting') {
      wanted = true;
    }
    return self;
  };
  self.reset = function () {
    if (state !== 'ready') {
      return self;
    }
    proof = null;
    fillInputs();
    hide();
    if (openButton) {
      openButton.remove();
      openButton = null;
    }
    state = 'resetting';
    var again = function () {
      state = 'ready';
      render();
      if (wanted) {
        wanted = false;
        show();
      }
    };
    if (isOffline) {
      again();
      return self;
    }
    request('/reset.php', {}, 'error_109', function (answer) {
      config.challenge = answer.challenge;
      prepare(again);
    });
    return self;
  };
  self.destroy = function () {
    clearTimeout(timer);
    hide();
    forms.concat(form || [], openButton || []).forEach(function (element) { element.remove(); });
    state = 'over';
    proof = null;
  };

  // After the callback that gets this instance has set its handlers.
  setTimeout(function () {
    if (state !== 'loading') {
      return;
    }
    if (!config.gt || !config.challenge) {
      fail('error_114', 'gt or challenge is missing');
      return;
    }
    if (product === 'custom' && !find(config.area)) {
      fail('error_112', 'area takes an id selector or an element');
      return;
    }
    prepare(function () {
      if (state !== 'loading') {
        return;
      }
      state = 'ready';
      render();
      call('onReady');
    });
  }, 0);
}

// A page may hold both kinds; the loader says which it wants.
window[isOffline ? 'GeetestOffline' : 'Geetest'] = Geetest;
