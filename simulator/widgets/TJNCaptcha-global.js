// The script of the international site, third generation.
var flavour = { site: 'intl', elementFirst: true, reservedElement: false, disasterPrefix: 'trerror', measures: false };

