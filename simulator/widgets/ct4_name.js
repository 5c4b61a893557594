// The loader as Alibaba Cloud's number authentication service has it.
var globalName = 'initAlicom4';

