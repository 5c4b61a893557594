package readings_test

import "slices"

// shrink makes a request as small as it gets while it still fails.
func shrink(r request, fails func(request) bool) request {
	try := func(change func(*request)) bool {
		smaller := r
		smaller.lines = slices.Clone(r.lines)
		change(&smaller)
		if smaller.String() == r.String() || !fails(smaller) {
			return false
		}
		r = smaller
		return true
	}
	for changed := true; changed; {
		changed = false
		for i := range slices.Backward(r.lines) {
			changed = try(func(r *request) { r.lines = slices.Delete(r.lines, i, i+1) }) || changed
		}
		if r.method != "GET" {
			changed = try(func(r *request) { r.method = "GET" }) || r.method != "POST" && try(func(r *request) { r.method = "POST" }) || changed
		}
		changed = r.host != "localhost" && try(func(r *request) { r.host = "localhost" }) || changed
		changed = shrinkText(r.target, func(text string) bool { return try(func(r *request) { r.target = text }) }) || changed
		for i := range r.lines {
			changed = shrinkText(r.lines[i], func(text string) bool { return try(func(r *request) { r.lines[i] = text }) }) || changed
		}
	}
	return r
}

// shrinkText removes parts of a text, long ones first.
func shrinkText(text string, fails func(string) bool) (changed bool) {
	for size := len(text) / 2; size > 0; size /= 2 {
		for i := 0; i+size <= len(text); {
			shorter := text[:i] + text[i+size:]
			if shorter != "" && fails(shorter) {
				text, changed = shorter, true
			} else {
				i += max(1, size/2)
			}
		}
	}
	return changed
}
