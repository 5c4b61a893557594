// The script of the China site, second generation.
var flavour = { site: 'cn', elementFirst: false, reservedElement: false, disasterPrefix: 'trerror', measures: true };

