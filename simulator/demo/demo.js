'use strict';

// What an application's own script does: it sends the form itself and shows
// the answer.

function say(form, status, text) {
  form.querySelector('output').textContent = 'Status ' + status + '\n' + text;
}

const viaFetch = document.getElementById('fetch');
viaFetch.addEventListener('submit', async (event) => {
  event.preventDefault();
  const response = await fetch('', {
    method: 'POST',
    headers: { Accept: 'application/json' },
    body: new URLSearchParams(new FormData(viaFetch)),
  });
  say(viaFetch, response.status, await response.text());
});

const viaXHR = document.getElementById('xhr');
viaXHR.addEventListener('submit', (event) => {
  event.preventDefault();
  const request = new XMLHttpRequest();
  request.open('POST', '');
  request.setRequestHeader('Content-Type', 'application/json');
  request.setRequestHeader('Accept', 'application/json');
  request.onload = () => say(viaXHR, request.status, request.responseText);
  request.onerror = () => say(viaXHR, 0, 'no answer');
  request.send(JSON.stringify(Object.fromEntries(new FormData(viaXHR))));
});
