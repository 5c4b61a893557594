// Solves the challenge on the standard input with ALTCHA's own library, and
// prints what a widget would send, in JSON.
import { solveChallenge } from "altcha-lib";
import { deriveKey } from "altcha-lib/algorithms/pbkdf2";
import { readFileSync } from "node:fs";

const challenge = JSON.parse(readFileSync(0, "utf8"));
const solution = await solveChallenge({ challenge, deriveKey });
process.stdout.write(JSON.stringify({ challenge, solution }));
