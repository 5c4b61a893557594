// What TencentCaptcha shows. The frame is the provider's part of the box; it
// has to say that it is there before the button works.

// work counts in a worker, as the real one does its proof of work, or without
// one where there is none.
function work(done) {
  var first = once();
  var inline = first(function () { done('inline'); });
  try {
    var url = URL.createObjectURL(new Blob(['postMessage(41 + 1)'], { type: 'text/javascript' }));
    var worker = new Worker(url);
    var end = function () {
      worker.terminate();
      URL.revokeObjectURL(url);
    };
    worker.onmessage = first(function (event) {
      end();
      done(String(event.data));
    });
    worker.onerror = function (event) {
      event.preventDefault();
      end();
      inline();
    };
  } catch (error) {
    inline();
  }
}

window.TencentCaptchaView = function (options) {
  var answer = options.answer;
  var attempts = 0;
  var good = answer.state === 1;
  var timer = null;

  var frame = document.createElement('iframe');
  var listen = function (event) {
    if (event.source !== frame.contentWindow || event.origin !== origin || event.data !== 'tcaptcha-ready') {
      return;
    }
    clearTimeout(timer);
    frame.onload = null;
    window.removeEventListener('message', listen);
    view.state('ready');
    view.whenPainted(function () {
      options.ready({ width: view.element.offsetWidth, height: view.element.offsetHeight });
    });
    if (options.popup) {
      view.focus();
    }
    if (options.autoCheck) {
      solve();
    }
  };

  var solve = function () {
    view.state('checking');
    work(function (answered) {
      submit(new URLSearchParams({ aid: options.appId, sess: answer.sess, ans: answered }));
    });
  };
  var submit = function (form) {
    fetch(origin + '/cap_union_new_verify', { method: 'POST', body: form, credentials: 'omit' }).then(function (response) {
      if (!response.ok) {
        throw new Error('status ' + response.status);
      }
      return response.json();
    }).then(function (verdict) {
      attempts = 0;
      if (verdict.errorCode === '0') {
        view.state('passed');
        options.passed(verdict);
      } else {
        view.state(verdict.errorCode === '50' ? 'failed' : 'error', verdict.errorCode === '50' ? '' : verdict.errMessage);
      }
    }, function () {
      if (++attempts < 3) {
        submit(form);
      } else {
        options.failed(1013);
      }
    });
  };

  var view = box({
    container: options.container,
    provider: 'tencent',
    language: options.language,
    dark: options.dark,
    popup: options.popup,
    picture: good && origin + answer.bg,
    broken: function () { options.failed(1012); },
    solve: solve,
    close: options.closed
  });
  if (!good) {
    view.state('error', answer.errMessage || 'The captcha cannot be shown.');
  } else {
    view.state('loading');
    window.addEventListener('message', listen);
    timer = setTimeout(function () { options.failed(1007); }, options.timeout);
    frame.title = 'CAPTCHA';
    // A frame that loads something else than it should says nothing. What it
    // has to say comes before it is loaded, or soon after.
    frame.onload = function () {
      clearTimeout(timer);
      timer = setTimeout(function () { options.failed(1008); }, 2000);
    };
    frame.src = origin + answer.frame;
    view.element.insertBefore(frame, view.element.firstChild);
  }
  return {
    remove: function () {
      clearTimeout(timer);
      window.removeEventListener('message', listen);
      view.remove();
    }
  };
};
