// The script of the international site, second generation.
var flavour = { site: 'intl', elementFirst: false, reservedElement: false, disasterPrefix: 'terror', measures: false };

