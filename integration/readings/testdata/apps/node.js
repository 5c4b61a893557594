// An application on Node's http server that reads its request in the ways that
// Node programs do, and runs the login of every reading that names it.
'use strict';
const http = require('node:http');
const url = require('node:url');
const querystring = require('node:querystring');

// paths maps a reading to what it makes of the target.
function paths(target) {
  return {
    'req.url': () => target.split('?')[0],
    'new URL': () => new URL(target, 'http://localhost').pathname,
    'new URL decoded': () => decodeURIComponent(new URL(target, 'http://localhost').pathname),
    'url.parse': () => url.parse(target).pathname,
    'url.parse decoded': () => decodeURIComponent(url.parse(target).pathname),
    'decoded': () => decodeURIComponent(target.split('?')[0]),
    'slashes trimmed': () => '/' + decodeURIComponent(target.split('?')[0]).replace(/^\/+|\/+$/g, ''),
  };
}

function queries(target) {
  const query = target.includes('?') ? target.slice(target.indexOf('?') + 1) : '';
  return {
    'URLSearchParams': () => new URL(target, 'http://localhost').searchParams.get('action'),
    'querystring': () => querystring.parse(query).action,
    'querystring ;': () => querystring.parse(query, ';').action,
    'second part': () => querystring.parse(target.split('?')[1]).action,
    'last part': () => querystring.parse(target.split('?').pop()).action,
  };
}

function attempt(read) {
  try { return read(); } catch { return undefined; }
}

// logins returns the names of all logins that the request runs.
function logins(req) {
  const ran = [];
  for (const [reading, read] of Object.entries(paths(req.url))) {
    const path = attempt(read);
    if (typeof path !== 'string') continue;
    if (path === '/login') ran.push(reading + (reading.endsWith('trimmed') ? ':trimmed' : ':exact'));
    if (path === '/login' || path.startsWith('/login/')) ran.push(reading + ':under');
    if (path.startsWith('/login')) ran.push(reading + ':begins');
    if (path.toLowerCase() === '/login' && !reading.endsWith('trimmed')) ran.push(reading + ':fold');
  }
  for (const [reading, read] of Object.entries(queries(req.url))) {
    const action = attempt(read);
    if ([].concat(action).includes('login')) ran.push(reading + ':action');
  }
  const override = req.headers['x-http-method-override'] || querystring.parse(req.url.split('?')[1])._method;
  ran.push('method:' + req.method);
  if (typeof override === 'string') ran.push('override:' + encodeURIComponent(override.toUpperCase()));
  const host = (req.headers.host || '').toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '');
  if (host === 'login.example.com') ran.push('host:host');
  return ran;
}

const server = http.createServer({ maxHeaderSize: 1 << 20, keepAliveTimeout: 0 }, (req, res) => {
  res.setHeader('Content-Length', 0);
  res.setHeader('Login', logins(req).join(', '));
  res.end();
});
// A client that breaks off is no reason to end.
server.on('connect', (req, socket) => socket.destroy());
server.on('upgrade', (req, socket) => socket.destroy());
server.listen(0, '127.0.0.1', () => console.log('listening on ' + server.address().port));
