package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// contract holds every answer of the API to openapi.yaml.
type contract struct{ router routers.Router }

func loadContract(t *testing.T) *contract {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(root(), "admin", "api", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &contract{router}
}

func (c *contract) check(req *http.Request, body []byte, res *http.Response, text []byte) error {
	// The contract's server is a path; the router wants no host either.
	plain := req.Clone(context.Background())
	plain.URL = &url.URL{Path: req.URL.Path, RawQuery: req.URL.RawQuery}
	plain.Body = io.NopCloser(bytes.NewReader(body))
	route, params, err := c.router.FindRoute(plain)
	if err != nil {
		return err
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: plain, PathParams: params, Route: route},
		Status:                 res.StatusCode,
		Header:                 res.Header,
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	input.SetBodyBytes(text)
	return openapi3filter.ValidateResponse(context.Background(), input)
}
