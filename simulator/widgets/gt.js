// The look-alike of gt.js, the loader of GeeTest CAPTCHA v3:
// initGeetest(config, callback).

// Where the widget comes from when the provider cannot be asked, by type.
var fallback = {
  fullpage: { type: 'fullpage', offline: true, fullpage: '/static/js/fullpage.0.0.0.js' },
  slide: { type: 'slide', offline: true, slide: '/static/js/geetest.0.0.0.js' }
};

// The real loader waits for scripts as long as the browser does.
var scriptTimeout = 600000;

function report(config, code, msg) {
  if (typeof config.onError === 'function') {
    config.onError({ error_code: code, msg: msg, user_error: msg });
    return;
  }
  throw new Error(code + ' ' + msg);
}

window.initGeetest = function (userConfig, callback) {
  if (!userConfig || typeof userConfig !== 'object') {
    throw new Error('initGeetest needs a config');
  }
  if (typeof callback !== 'function') {
    throw new Error('initGeetest needs a callback');
  }
  var config = Object.assign({}, userConfig);
  if (typeof config.gt !== 'string') {
    report(config, 'error_103', 'gt is no string');
    return;
  }

  var start = function (type) {
    Object.assign(config, type);
    loadPart([origin], config[config.type], scriptTimeout, function () {
      callback(new (config.offline ? window.GeetestOffline : window.Geetest)(config));
    }, function () {
      report(config, 'error_111', 'the script of the captcha cannot be loaded');
    });
  };
  // Without new_captcha it is the puzzle of old, which nobody serves here.
  var startOffline = function () {
    start(config.new_captcha ? fallback.fullpage : fallback.slide);
  };

  if (config.offline) {
    startOffline();
    return;
  }
  jsonp('/gettype.php', { gt: config.gt }, config.timeout || scriptTimeout, function (answer) {
    if (answer.status === 'success') {
      start(answer.data);
    } else {
      startOffline();
    }
  }, startOffline);
};
