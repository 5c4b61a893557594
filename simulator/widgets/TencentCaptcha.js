// TencentCaptcha, the look-alike of Tencent Captcha's global. The parts in
// front of this one say what kind of script it is.

var timeout = 15000;

if (window.TCaptchaGlobal && flavour.site === 'intl') {
  throw new Error('the script of the captcha is included twice');
}

// The script looks up its own element, and takes the rest from where that is:
// the one with this id, or else the first with such a name.
(function () {
  var own = document.getElementById('CaptchaScript') ||
    Array.from(document.scripts).find(function (script) { return /captcha\.js/i.test(script.src); });
  if (own && own.src) {
    origin = new URL(own.src).origin;
  }
})();

// The message that goes with an errorCode (Tencent Captcha docs, "Web
// integration").
var messages = {
  1003: 'middle_js_timeout',
  1004: 'middle_js_load_error',
  1005: 'middle_js_run_error',
  1006: 'prehandle_error',
  1007: 'frame_timeout',
  1008: 'frame_load_error',
  1012: 'refresh_error',
  1013: 'network_error'
};

// read returns the meaning of the constructor's arguments.
function read(args) {
  var first = args[0];
  if (flavour.elementFirst) {
    if (!(first instanceof Element)) {
      throw new TypeError('TencentCaptcha: the first argument must be the element to hold the captcha');
    }
    return { element: first, appId: args[1], callback: args[2], options: args[3] };
  }
  if (first instanceof Element && flavour.site === 'cn') {
    if (args.length > 1) {
      return { element: first, appId: args[1], callback: args[2], options: args[3] };
    }
    // The function may come later than the element.
    var name = first.getAttribute('data-cbfn');
    return {
      element: first,
      opens: true,
      appId: first.getAttribute('data-appid'),
      callback: name && function (result) { window[name](result); },
      options: { bizState: first.getAttribute('data-biz-state') }
    };
  }
  return { element: null, appId: first, callback: args[1], options: args[2] };
}

window.TencentCaptcha = function () {
  var self = this;
  var given = read(arguments);
  var options = given.options || {};
  if (typeof given.appId !== 'string' || given.appId === '') {
    throw new TypeError('TencentCaptcha: the CaptchaAppId must be a string');
  }
  if (typeof given.callback !== 'function') {
    throw new TypeError('TencentCaptcha: the callback must be a function');
  }
  if (options.type === 'embed' && !given.element) {
    throw new TypeError('TencentCaptcha: the type embed needs an element');
  }
  var language = options.userLanguage || navigator.language;
  var dark = options.enableDarkMode === 'force' ||
    (!!options.enableDarkMode && matchMedia('(prefers-color-scheme: dark)').matches);
  var shownAt = 0;
  var turn = 0; // counts show and destroy, so that late answers are told
  var view = null;
  var ticket = null;

  var finish = function (result) {
    turn++;
    if (view) {
      view.remove();
      view = null;
    }
    result.CaptchaAppId = result.appid = given.appId;
    result.bizState = options.bizState;
    if (flavour.measures) {
      result.verifyDuration = result.actionDuration = Date.now() - shownAt;
      result.sid = String(shownAt);
    }
    given.callback(result);
  };

  // disaster calls back with a ticket that the script made up itself.
  var disaster = function (code) {
    finish({
      ret: 0,
      ticket: flavour.disasterPrefix + '_' + code + '_' + given.appId + '_' + Math.floor(Date.now() / 1000),
      randstr: '@' + Math.random().toString(36).slice(2),
      errorCode: code,
      errorMessage: messages[code]
    });
  };

  var open = function (answer, mine) {
    view = window.TencentCaptchaView({
      container: given.element && (flavour.elementFirst || options.type === 'embed') ? given.element : document.body,
      popup: !(given.element && (flavour.elementFirst || options.type === 'embed')),
      appId: given.appId,
      language: language,
      dark: dark,
      timeout: timeout,
      autoCheck: flavour.site === 'intl' && !!options.enableAutoCheck,
      answer: answer,
      ready: function (size) {
        if (mine === turn && typeof options.ready === 'function') {
          options.ready({ sdkView: size });
        }
      },
      passed: function (proof) {
        if (mine === turn) {
          ticket = proof.ticket;
          finish({ ret: 0, ticket: proof.ticket, randstr: proof.randstr });
        }
      },
      closed: function () {
        if (mine === turn) {
          finish({ ret: 2, ticket: null });
        }
      },
      failed: function (code) {
        if (mine === turn) {
          disaster(code);
        }
      }
    });
  };

  self.show = function () {
    if (view) {
      return;
    }
    var mine = ++turn;
    shownAt = Date.now();
    var only = function (f) {
      return function (value) {
        if (mine === turn) {
          f(value);
        }
      };
    };
    var prehandle = only(function () {
      if (typeof window.TencentCaptchaView !== 'function') {
        disaster(1005);
        return;
      }
      jsonp('/cap_union_prehandle', {
        aid: given.appId,
        protocol: location.protocol.slice(0, -1),
        clientype: isMobile() ? '1' : '2',
        lang: language,
        enableDarkMode: dark ? '1' : '0',
        aidEncrypted: options.aidEncrypted,
        aidEncryptedType: options.aidEncryptedType,
        aidEncryptedAad: options.aidEncryptedAad
      }, timeout, only(function (answer) { open(answer, mine); }), only(function () { disaster(1006); }));
    });
    loadPart([origin], '/tcaptcha-frame.js', timeout, prehandle, only(function (how) {
      disaster(how === 'timeout' ? 1003 : 1004);
    }));
  };
  self.destroy = function () {
    turn++;
    if (view) {
      view.remove();
      view = null;
    }
  };
  self.getTicket = function () {
    return { CaptchaAppId: given.appId, ticket: ticket };
  };
  if (flavour.site === 'intl') {
    self.reload = function () {
      self.destroy();
      ticket = null;
      self.show();
    };
  }
  if (given.opens) {
    given.element.addEventListener('click', self.show);
  }
};

if (flavour.site === 'intl') {
  window.TCaptchaGlobal = true;
}

// The first generation takes over the element of this id by itself.
if (flavour.reservedElement) {
  var takeOver = function () {
    var element = document.getElementById('TencentCaptcha');
    if (element && element.getAttribute('data-appid')) {
      new window.TencentCaptcha(element);
    }
  };
  if (document.readyState === 'loading') {
    document.addEventListener('DOMContentLoaded', takeOver);
  } else {
    takeOver();
  }
}
