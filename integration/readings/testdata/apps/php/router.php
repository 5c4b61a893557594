<?php
// An application behind PHP's built-in server that reads its request in the
// ways that PHP programs do, and runs the login of every reading that names it.

function compare(string $reading, mixed $path): array
{
    if (!is_string($path)) {
        return [];
    }
    $ran = [];
    if ($path === '/login') $ran[] = "$reading:exact";
    if ($path === '/login' || str_starts_with($path, '/login/')) $ran[] = "$reading:under";
    if (str_starts_with($path, '/login')) $ran[] = "$reading:begins";
    if (strtolower($path) === '/login') $ran[] = "$reading:fold";
    return $ran;
}

$target = $_SERVER['REQUEST_URI'];
$raw = strtok($target, '?');
$parsed = parse_url($target, PHP_URL_PATH);
$ran = array_merge(
    compare('REQUEST_URI', $raw),
    compare('REQUEST_URI decoded', rawurldecode((string) $raw)),
    compare('parse_url', $parsed),
    compare('parse_url decoded', is_string($parsed) ? urldecode($parsed) : null),
);
$script = $_SERVER['SCRIPT_NAME'];
if ($script === '/index.php') {
    $ran = array_merge($ran, compare('PATH_INFO', $_SERVER['PATH_INFO'] ?? null));
}
if ($script === '/login/index.php') {
    $ran[] = 'directory:begins';
}
if ($script === '/wp-login.php') $ran[] = 'script:php';

// Old frameworks believe these before the target (Zend, Yii, old Symfony).
foreach (['HTTP_X_ORIGINAL_URL', 'HTTP_X_REWRITE_URL'] as $name) {
    if (isset($_SERVER[$name])) {
        $named = $_SERVER[$name];
        $ran = array_merge($ran,
            compare($name, strtok($named, '?')),
            compare("$name decoded", rawurldecode((string) strtok($named, '?'))),
            compare("$name parse_url", parse_url($named, PHP_URL_PATH)));
    }
}
// What `rewrite * /index.php?route={path}` hands over.
$ran = array_merge($ran, array_map(fn ($name) => str_replace('route:', 'route:route-', $name), compare('route', $_GET['route'] ?? null)));

foreach (['action', 'do_action'] as $name) {
    $value = $_GET[$name] ?? null;
    if ($value === 'login') $ran[] = "_GET:$name";
    if (is_string($value) && strtolower(trim($value)) === 'login') $ran[] = "_GET lower:$name";
}
$lower = array_change_key_case($_GET);
if (($lower['action'] ?? null) === 'login') $ran[] = '_GET any case:action';

$method = $_SERVER['REQUEST_METHOD'];
$ran[] = 'method:' . strtoupper($method);
if (strtoupper($method) === 'HEAD') $ran[] = 'HEAD:GET'; // PHP runs the whole script for it
foreach (['HTTP_X_HTTP_METHOD_OVERRIDE', 'HTTP_X_HTTP_METHOD', 'HTTP_X_METHOD_OVERRIDE'] as $name) {
    if (isset($_SERVER[$name])) $ran[] = "$name:" . strtoupper(trim($_SERVER[$name]));
}
if (is_string($_GET['_method'] ?? null)) $ran[] = '_method:' . strtoupper($_GET['_method']);

$host = rtrim(preg_replace('/:\d*$/', '', strtolower(trim($_SERVER['HTTP_HOST'] ?? ''))), '.');
if ($host === 'login.example.com') $ran[] = 'host:host';

header_remove('X-Powered-By');
header('Content-Type: text/plain');
header('Content-Length: 0');
header('Login: ' . preg_replace('/[^\x21-\x7e ]/', '?', implode(', ', $ran)));
