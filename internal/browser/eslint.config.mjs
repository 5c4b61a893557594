import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["testdata/", "node_modules/", "inject/"] },
  js.configs.recommended,
  {
    files: ["*.js", "build/*.js"],
    languageOptions: {
      // The challenge page also works in browsers of 2018.
      ecmaVersion: 2017,
      sourceType: "script",
      globals: globals.browser,
    },
    rules: {
      // A catch without a name is of 2019.
      "no-unused-vars": ["error", { caughtErrors: "none" }],
    },
  },
  {
    files: ["build/inject.js"],
    languageOptions: { ecmaVersion: 2022 },
  },
];
