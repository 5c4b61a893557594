// What all the scripts need to reach the simulator: the origin that the script
// came from, scripts, and JSONP.

var origin = new URL(document.currentScript.src).origin;

// once returns a function that calls only the first of the functions it is
// given, and only once.
function once() {
  var done = false;
  return function (f) {
    return function (value) {
      if (!done) {
        done = true;
        f(value);
      }
    };
  };
}

// load adds an element that loads something and calls ok, or else failed with
// "error" or "timeout".
function load(element, timeout, ok, failed) {
  var first = once();
  var timer = setTimeout(first(function () { failed('timeout'); }), timeout);
  element.onload = first(function () { clearTimeout(timer); ok(); });
  element.onerror = first(function () { clearTimeout(timer); failed('error'); });
  document.head.appendChild(element);
}

function loadScript(url, timeout, ok, failed) {
  var script = document.createElement('script');
  script.charset = 'UTF-8';
  script.async = false;
  script.src = url;
  load(script, timeout, ok, failed);
}

function loadStyle(url, timeout, ok, failed) {
  var link = document.createElement('link');
  link.rel = 'stylesheet';
  link.href = url;
  load(link, timeout, ok, failed);
}

// What became of the parts of the scripts, by path. The real loaders remember
// it for the life of the document, a failure as well.
var fates = window.captchaSimulatorFates || (window.captchaSimulatorFates = {});

// loadPart loads a part from the first of the servers that has it. Each gets
// the whole timeout.
function loadPart(servers, path, timeout, ok, failed) {
  if (fates[path]) {
    setTimeout(function () {
      if (fates[path] === 'loaded') {
        ok();
      } else {
        failed(fates[path]);
      }
    }, 0);
    return;
  }
  inTurn(servers, function (server, next) {
    loadScript(server + path, timeout, function () { fates[path] = 'loaded'; ok(); }, next);
  }, function (how) { fates[path] = how; failed(how); });
}

// inTurn tries the servers until one of them does, and else fails as the last.
function inTurn(servers, attempt, failed) {
  var left = servers.slice();
  var next = function (how) {
    if (left.length) {
      attempt(left.shift(), next);
    } else {
      failed(how);
    }
  };
  next('error');
}

// serversOf returns the origins of hosts, or else the simulator's own.
function serversOf(hosts) {
  return Array.isArray(hosts) && hosts.length ? hosts.map(function (host) { return location.protocol + '//' + host; }) : [origin];
}

var callbacks = 0;

// jsonp calls an endpoint of a server, or else of the simulator, and hands on
// its answer, or fails with "error" or "timeout".
function jsonp(path, parameters, timeout, ok, failed, server) {
  var name = 'captcha_simulator_' + Date.now() + '_' + callbacks++;
  var query = new URLSearchParams();
  Object.keys(parameters).forEach(function (key) {
    if (parameters[key] !== undefined && parameters[key] !== null) {
      query.set(key, parameters[key]);
    }
  });
  query.set('callback', name);
  var first = once();
  failed = first(failed);
  window[name] = first(ok); // it stays: the answer may come after the timeout
  // A script that runs but does not call back holds no answer.
  loadScript((server || origin) + path + '?' + query, timeout, function () { failed('error'); }, failed);
}

function isMobile() {
  return /Mobile|Android|iPhone/.test(navigator.userAgent);
}

