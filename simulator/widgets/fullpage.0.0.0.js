// With this in front, fullpage.js works without the provider: the validate is
// the MD5 of the challenge, which anybody can tell.

function md5(text) {
  var shifts = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];
  var bytes = new TextEncoder().encode(text);
  var padded = new Uint8Array(((bytes.length + 8 >> 6) + 1) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  var view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, bytes.length * 8, true);
  var digest = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
  for (var block = 0; block < padded.length; block += 64) {
    var a = digest[0], b = digest[1], c = digest[2], d = digest[3];
    for (var i = 0; i < 64; i++) {
      var mix, word;
      if (i < 16) {
        mix = (b & c) | (~b & d);
        word = i;
      } else if (i < 32) {
        mix = (d & b) | (~d & c);
        word = (5 * i + 1) % 16;
      } else if (i < 48) {
        mix = b ^ c ^ d;
        word = (3 * i + 5) % 16;
      } else {
        mix = c ^ (b | ~d);
        word = (7 * i) % 16;
      }
      var constant = Math.floor(Math.abs(Math.sin(i + 1)) * 4294967296);
      var sum = (a + mix + constant + view.getUint32(block + 4 * word, true)) | 0;
      var shift = shifts[(i >> 4) * 4 + i % 4];
      a = d;
      d = c;
      c = b;
      b = (b + ((sum << shift) | (sum >>> (32 - shift)))) | 0;
    }
    digest = [digest[0] + a | 0, digest[1] + b | 0, digest[2] + c | 0, digest[3] + d | 0];
  }
  var out = new DataView(new ArrayBuffer(16));
  digest.forEach(function (value, i) { out.setInt32(4 * i, value, true); });
  var hex = '';
  for (var at = 0; at < 16; at++) {
    hex += ('0' + out.getUint8(at).toString(16)).slice(-2);
  }
  return hex;
}

function offlineValidate(challenge) {
  return md5(challenge);
}

