// The script of the China site, first generation.
var flavour = { site: 'cn', elementFirst: false, reservedElement: true, disasterPrefix: 'terror', measures: false };

