package extract

import "slices"

// proof gathers the parameters that one source holds.
type proof struct {
	wanted *Extractor
	values []string // by parameter; empty: not there
	seen   []bool   // by parameter; true for an empty value, too
	defect string   // why the source is malformed, if it is
}

// none is the index of no parameter.
const none = -1

// add records a value of parameter i. It returns false when the source is
// malformed, and there is no use in searching it further.
func (p *proof) add(i int, value string) bool {
	if p.values == nil {
		p.values = make([]string, len(p.wanted.parameters))
		p.seen = make([]bool, len(p.wanted.parameters))
	}
	switch {
	case p.seen[i]:
		return p.fail(ReasonDuplicate)
	case len(value) > p.wanted.parameters[i].MaxLength:
		return p.fail(ReasonLength)
	case !printable(value):
		return p.fail(ReasonCharacters)
	}
	p.seen[i] = true
	p.values[i] = value
	return true
}

// fail records why the source is malformed. It returns false, for add.
func (p *proof) fail(reason string) bool {
	p.defect = reason
	return false
}

// begun reports whether at least one parameter is there.
func (p *proof) begun() bool {
	for _, value := range p.values {
		if value != "" {
			return true
		}
	}
	return false
}

// complete reports whether all parameters are there.
func (p *proof) complete() bool {
	return p.values != nil && !slices.Contains(p.values, "")
}

// printable reports whether value is ASCII without spaces and control
// characters, as all that the providers issue is.
func printable(value string) bool {
	for i := range len(value) {
		if value[i] <= ' ' || value[i] >= 0x7f {
			return false
		}
	}
	return true
}
