package extract

import (
	"errors"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"regexp"
	"strings"
)

// maxPartHeader is how long the header of a part may be. A browser sends some
// hundred bytes; mime/multipart would hold 10 MiB of it.
const maxPartHeader = 16 << 10

// searchMultipart reads multipart/form-data (RFC 7578). Files are skipped.
func searchMultipart(found *proof, contentType string, body prefix) {
	boundary := boundaryIn(contentType)
	if boundary == "" {
		found.fail(ReasonBody)
		return
	}
	text := body.start()
	source := &partSource{Reader: &text}
	if body.truncated {
		// multipart takes a boundary at the end of its input for the end of
		// the part, although the line may go on, and be data. A letter behind
		// it makes it data; what ends so is not complete, and left out.
		source.Reader = io.MultiReader(&text, strings.NewReader("x"))
	}
	switch err := searchParts(found, source, boundary); {
	case err == nil:
	case errors.Is(err, errPartHeader), !body.truncated:
		found.fail(ReasonBody)
	}
}

func searchParts(found *proof, source *partSource, boundary string) error {
	parts := multipart.NewReader(source, boundary)
	for n := 0; ; n++ {
		source.left = maxPartHeader
		// The raw part: RFC 7578, 4.7 deprecates Content-Transfer-Encoding in
		// forms, and applications read the bytes as they are.
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n == maxFields {
			found.fail(ReasonBody)
			return nil
		}
		source.left = math.MaxInt
		if i := found.wanted.parameter(part.FormName()); i != none && part.FileName() == "" {
			value, err := io.ReadAll(io.LimitReader(part, int64(found.wanted.parameters[i].MaxLength)+1))
			if err != nil {
				return err
			}
			if !found.add(i, string(value)) {
				return nil
			}
		}
		if _, err := io.Copy(io.Discard, part); err != nil {
			return err
		}
	}
}

// errPartHeader means that the header of a part is too long.
var errPartHeader = errors.New("the header of a part is too long")

// partSource is what the parts are read from.
type partSource struct {
	io.Reader
	left int // how much may still be read
}

func (s *partSource) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, errPartHeader
	}
	n, err := s.Reader.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

// oddBoundary finds a boundary that should be quoted and is not: RFC 2046
// allows characters in it that RFC 2045 does not allow in a bare parameter. It
// may hold all but the comma and the space, where some applications would end
// it and others not, and stand behind no quote, which could be around it.
var oddBoundary = regexp.MustCompile(`^([^"]*;[ \t]*(?i:boundary)=)([0-9A-Za-z'()+_./:=?-]{1,70})(;.*)?$`)

// boundaryIn returns the boundary that a Content-Type names, or nothing where
// there is none or readers could differ about which one it is.
func boundaryIn(contentType string) string {
	if strings.Contains(strings.ToLower(contentType), "boundary*") {
		return "" // RFC 2231, which mime knows and most applications do not
	}
	_, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		quoted := oddBoundary.ReplaceAllString(contentType, `$1"$2"$3`)
		_, parameters, _ = mime.ParseMediaType(quoted) // none if there is an error
	}
	return parameters["boundary"]
}
