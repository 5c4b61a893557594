package extract

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
)

// searchMultipart reads multipart/form-data (RFC 7578). Files are skipped.
func searchMultipart(found *proof, contentType string, body prefix) {
	_, parameters, _ := mime.ParseMediaType(contentType) // none if there is an error
	boundary := parameters["boundary"]
	if boundary == "" {
		found.fail(ReasonBody)
		return
	}
	text := body.bytes
	if body.truncated {
		// multipart takes a boundary at the end of its input for the end of
		// the part, although the line may go on, and be data.
		text = bytes.TrimSuffix(text, []byte("--"+boundary))
	}
	if err := searchParts(found, multipart.NewReader(bytes.NewReader(text), boundary)); err != nil && !body.truncated {
		found.fail(ReasonBody)
	}
}

func searchParts(found *proof, parts *multipart.Reader) error {
	for n := 0; ; n++ {
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
		i := found.field(part.FormName())
		if i == none || part.FileName() != "" {
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, int64(found.parameters[i].MaxLength)+1))
		if err != nil {
			return err
		}
		if !found.add(i, string(value)) {
			return nil
		}
	}
}
