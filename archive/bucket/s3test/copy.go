package s3test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
)

// copyPart turns the request to copy a part of an object, which gofakes3 does not know,
// into one that sends it. It reports whether r is one.
func (s *Server) copyPart(w http.ResponseWriter, r *http.Request) (is bool) {
	source := r.Header.Get("X-Amz-Copy-Source")
	if source == "" || r.URL.Query().Get("uploadId") == "" {
		return false
	}
	path, err := url.PathUnescape(source)
	get := httptest.NewRequest(http.MethodGet, (&url.URL{Path: "/" + strings.TrimPrefix(path, "/")}).String(), nil)
	get.Header.Set("Range", r.Header.Get("X-Amz-Copy-Source-Range"))
	from := httptest.NewRecorder()
	s.inner.ServeHTTP(from, get)
	if match := r.Header.Get("X-Amz-Copy-Source-If-Match"); err != nil || match != "" && match != from.Header().Get("Etag") {
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return true
	}
	if from.Code != http.StatusPartialContent {
		refuse(w, from.Code, "InvalidArgument")
		return true
	}
	put := httptest.NewRequest(http.MethodPut, r.URL.String(), io.NopCloser(bytes.NewReader(from.Body.Bytes())))
	put.Header.Set("Content-Length", strconv.Itoa(from.Body.Len()))
	put.ContentLength = int64(from.Body.Len())
	to := httptest.NewRecorder()
	if s.inner.ServeHTTP(to, put); to.Code != http.StatusOK {
		refuse(w, to.Code, "InvalidPart")
		return true
	}
	fmt.Fprintf(w, "<CopyPartResult><ETag>%s</ETag></CopyPartResult>", to.Header().Get("Etag"))
	return true
}
