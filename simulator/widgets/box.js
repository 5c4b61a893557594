// The box with the button: all there is to see of a captcha.

var texts = {
  en: { open: 'Click to verify', solve: 'I am human', close: 'Close', ready: 'Press the button.', checking: 'Checking…', failed: 'That was wrong. Try again.', passed: 'Verified.' },
  zh: { open: '点击验证', solve: '我是人类', close: '关闭', ready: '请点击按钮。', checking: '验证中…', failed: '验证失败，请重试。', passed: '验证通过。' }
};

var paint = 150; // ms

// The real widgets bring a style element as well.
function addStyle() {
  if (document.getElementById('captcha-simulator-style')) {
    return;
  }
  var style = document.createElement('style');
  style.id = 'captcha-simulator-style';
  style.textContent =
    '.captcha-simulator, .captcha-simulator-open { font: 15px/1.5 system-ui, sans-serif; }' +
    '.captcha-simulator { display: inline-block; box-sizing: border-box; width: 300px; max-width: 100%; padding: 14px; border: 1px solid #d5dae1; border-radius: 10px; color: #1d2530; background: #fff; text-align: start; }' +
    '.captcha-simulator[data-dark="true"] { color: #e6eaf0; background: #1c232c; border-color: #323b47; }' +
    '.captcha-simulator-popup { position: fixed; top: 50%; left: 50%; width: min(300px, 92%); transform: translate(-50%, -50%); z-index: 2147483647; box-shadow: 0 0 0 100vmax rgba(16, 20, 26, 0.45), 0 12px 32px rgba(0, 0, 0, 0.3); }' +
    '.captcha-simulator button, .captcha-simulator-open { font: inherit; padding: 7px 14px; border: 1px solid #b9c1cc; border-radius: 7px; color: inherit; background: transparent; cursor: pointer; }' +
    '.captcha-simulator .captcha-simulator-solve { border-color: #2457c5; color: #fff; background: #2457c5; margin-inline-end: 8px; }' +
    '.captcha-simulator button:disabled { opacity: 0.55; cursor: default; }' +
    '.captcha-simulator button:focus-visible { outline: 2px solid #2457c5; outline-offset: 2px; }' +
    '.captcha-simulator img, .captcha-simulator iframe { display: block; width: 100%; height: 110px; border: 0; border-radius: 6px; margin-bottom: 12px; object-fit: cover; }' +
    '.captcha-simulator p { margin: 10px 0 0; font-size: 13px; }';
  document.head.appendChild(style);
}

// box puts a box into the container. It takes
//   container, provider, language, dark
//   popup      whether it is one over the page
//   picture    the URL of a picture, if there is one
//   opened     called once the picture is there
//   broken     called when it cannot be loaded
//   solve      called when the person presses the button
//   close      called when the person gives up; without it there is no button
function box(options) {
  addStyle();
  var text = /^zh/i.test(options.language) ? texts.zh : texts.en;
  var element = document.createElement('div');
  element.className = 'captcha-simulator' + (options.popup ? ' captcha-simulator-popup' : '');
  element.dataset.provider = options.provider;
  element.dataset.language = options.language;
  element.dataset.dark = String(!!options.dark);
  element.lang = text === texts.zh ? 'zh' : 'en';
  element.setAttribute('role', options.popup ? 'dialog' : 'group');
  element.setAttribute('aria-label', 'CAPTCHA');

  var solve = button('captcha-simulator-solve', text.solve, function () { options.solve(); });
  var message = document.createElement('p');
  message.className = 'captcha-simulator-message';
  message.setAttribute('role', 'status');
  if (options.picture) {
    var picture = document.createElement('img');
    picture.alt = '';
    picture.onload = function () { options.opened && options.opened(); };
    picture.onerror = function () { options.broken && options.broken(); };
    picture.src = options.picture;
    element.appendChild(picture);
  }
  element.appendChild(solve);
  if (options.close) {
    element.appendChild(button('captcha-simulator-close', text.close, function () { options.close(); }));
    element.addEventListener('keydown', function (event) {
      if (event.key === 'Escape') {
        event.stopPropagation();
        options.close();
      }
    });
  }
  element.appendChild(message);
  options.container.appendChild(element);
  // Real widgets are to be seen some time after they were told to show, and
  // leave an element in the page that nobody sees.
  element.style.display = 'none';
  var waiting = []; // until then; null afterwards
  setTimeout(function () {
    element.style.display = '';
    var run = waiting;
    waiting = null;
    run.forEach(function (f) { f(); });
  }, paint);
  if (!document.querySelector('.captcha-simulator-extra')) {
    var extra = document.createElement('div');
    extra.className = 'captcha-simulator-extra';
    document.body.appendChild(extra);
  }

  var self = {
    element: element,
    state: function (state, say) {
      element.dataset.state = state;
      message.textContent = say || text[state] || '';
      solve.disabled = state !== 'ready' && state !== 'failed';
    },
    whenPainted: function (f) {
      if (waiting) {
        waiting.push(f);
      } else {
        f();
      }
    },
    focus: function () { self.whenPainted(function () { solve.focus(); }); },
    remove: function () { element.remove(); }
  };
  self.state('ready');
  return self;
}

// opener is the button in the page that opens the box.
function opener(container, language, open) {
  addStyle();
  var text = /^zh/i.test(language) ? texts.zh : texts.en;
  var element = button('captcha-simulator-open', text.open, open);
  container.appendChild(element);
  return element;
}

function button(className, text, press) {
  var element = document.createElement('button');
  element.type = 'button';
  element.className = className;
  element.textContent = text;
  element.addEventListener('click', press);
  return element;
}

// find returns the element that appendTo and its like are given: an element or
// an id selector.
function find(target) {
  if (target instanceof Element) {
    return target;
  }
  if (typeof target !== 'string') {
    return null;
  }
  try {
    return document.querySelector(target) || document.getElementById(target);
  } catch (error) {
    return null;
  }
}

