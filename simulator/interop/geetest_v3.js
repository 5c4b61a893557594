'use strict';

// Takes GeeTest's official SDK for v3 through a captcha's whole life with the
// simulator at argv[2] (host:port), and prints what the SDK says at each step.

const crypto = require('crypto');
const Geetest = require('gt3-sdk');

const [, , server, id, key] = process.argv;

function sdk(id) {
  return new Geetest({ geetest_id: id, geetest_key: key, api_server: server, timeout: 60000 });
}

async function main() {
  const geetest = sdk(id);
  const registered = await geetest.register({ client_type: 'web', ip_address: '203.0.113.7' });
  const solved = await fetch(`http://${server}/solve/geetest_v3?challenge=${registered.challenge}`, { method: 'POST' });
  const proof = await solved.json();
  const validated = await geetest.validate(false, proof);
  const again = await geetest.validate(false, proof);

  // A proof with the right form and digests, for a challenge nobody solved.
  const unsolved = await geetest.register(null);
  const forged = crypto.createHash('md5').update(key + 'geetest' + unsolved.challenge).digest('hex');
  const forgedValidated = await geetest.validate(false, {
    geetest_challenge: unsolved.challenge,
    geetest_validate: forged,
    geetest_seccode: forged + '|jordan',
  });

  const unknown = await sdk('0'.repeat(32)).register(null);
  const malformed = await sdk('123456789').register(null);

  console.log(JSON.stringify({
    registered: registered.success,
    validated,
    again,
    forged: forgedValidated,
    unknown: unknown.success,
    malformed: malformed.success,
  }));
}

main().catch((err) => {
  console.error(err);
  process.exitCode = 1;
});
