// The loader under GeeTest's own name.
var globalName = 'initGeetest4';

