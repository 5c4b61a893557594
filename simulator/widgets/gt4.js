// The look-alike of gt4.js, the loader of GeeTest CAPTCHA v4:
// initGeetest4(config, callback). The part in front of this one says under
// which name it is to be found.

// The loader's own, whatever the documents say of 30 seconds.
var defaultTimeout = 10000;

function uuid() {
  return 'xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx'.replace(/x/g, function () {
    return Math.floor(Math.random() * 16).toString(16);
  });
}

function report(config, code, msg, detail) {
  if (typeof config.onError === 'function') {
    config.onError({ code: code, msg: msg, desc: { detail: detail } });
    return;
  }
  throw new Error(code + ' ' + msg);
}

window[globalName] = function (userConfig, callback) {
  if (!userConfig || typeof userConfig !== 'object') {
    throw new Error(globalName + ' needs a config');
  }
  if (typeof callback !== 'function') {
    throw new Error(globalName + ' needs a callback');
  }
  var config = Object.assign({ product: 'float' }, userConfig);
  config.language = config.language || navigator.language || 'eng';
  config.timeout = config.timeout || defaultTimeout;
  if (typeof config.captchaId !== 'string' || config.captchaId === '') {
    report(config, '60001', 'the captchaId is wrong', 'captchaId is required');
    return;
  }
  var statics = serversOf(config.staticServers);
  var loaded = function (answer) {
    if (answer.status !== 'success') {
      // The server was there and refused: that is not being offline.
      report(config, '60100', '/load failed: ' + answer.msg, answer.code);
      return;
    }
    var data = answer.data;
    loadPart(statics, data.gct_path, config.timeout, function () {
      loadPart(statics, data.js, config.timeout, function () {
        callback(new window.Geetest4(config, data));
      }, function (how) { report(config, '60204', 'gcaptcha4.js cannot be loaded', how); });
    }, function (how) { report(config, '60205', 'gct4.js cannot be loaded', how); });
  };
  inTurn(serversOf(config.apiServers), function (server, next) {
    jsonp('/load', {
      captcha_id: config.captchaId,
      challenge: config.challenge || uuid(),
      client_type: isMobile() ? 'h5' : 'web',
      risk_type: config.riskType,
      user_info: config.userInfo,
      lang: config.language
    }, config.timeout, loaded, next, server);
  }, function () {
    if (typeof config.offlineCb === 'function') {
      config.offlineCb();
      return;
    }
    loadPart(statics, '/v4/bypass.js', config.timeout, function () {
      callback(new window.Geetest4(config, {}));
    }, function (how) { report(config, '60204', 'bypass.js cannot be loaded', how); });
  });
};
