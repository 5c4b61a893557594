// What the look-alikes share. A test finds in window.fake what the page gave
// them, and makes them fail by the query of their URL.
window.fake = { calls: [], mode: new URL(document.currentScript.src).search.slice(1) };
if (fake.mode === 'empty') throw new Error('the provider\'s script is broken');

// popup is the provider's overlay, in the page as theirs is.
fake.popup = function (actions) {
  fake.close();
  const overlay = document.createElement('div');
  overlay.id = 'fake-popup';
  overlay.style.cssText = ('position:fixed;inset:0;display:grid;place-content:center;background:#0008;z-index:9999');
  for (const name of Object.keys(actions)) {
    const button = document.createElement('button');
    button.id = 'fake-' + name;
    button.textContent = name;
    button.onclick = () => {
      fake.close();
      actions[name]();
    };
    overlay.append(button);
  }
  document.body.append(overlay);
  overlay.firstChild.focus();
};
fake.close = function () {
  const overlay = document.getElementById('fake-popup');
  if (overlay) overlay.remove();
};
