// Reads the samples of go-syslog's own tests with go-syslog.
package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/rfc3164"
	"github.com/leodido/go-syslog/v4/rfc5424"
)

type sample struct {
	Form, Text string
	Valid      bool
	Error      string
	Facility   *uint8
	Severity   *uint8
	Time       *time.Time
	Host       *string
	App        *string
	Proc       *string
	Id         *string
	Message    *string
	Data       *map[string]map[string]string
}

// The text of an expression of literals.
func text(expression ast.Expr) (string, bool) {
	switch part := expression.(type) {
	case *ast.BasicLit:
		found, err := strconv.Unquote(part.Value)
		return found, err == nil
	case *ast.BinaryExpr:
		left, ok := text(part.X)
		right, also := text(part.Y)
		return left + right, ok && also
	case *ast.Ident:
		return "\xEF\xBB\xBF", part.Name == "BOM"
	}
	return "", false
}

func samples(folder string) []string {
	seen, found := map[string]bool{}, []string{}
	paths, _ := filepath.Glob(filepath.Join(folder, "*_test.go"))
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			panic(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			if kind, ok := call.Fun.(*ast.ArrayType); ok && kind.Len == nil {
				if text, ok := text(call.Args[0]); ok && utf8.ValidString(text) && !seen[text] {
					seen[text] = true
					found = append(found, text)
				}
			}
			return true
		})
	}
	return found
}

func base(found *sample, message syslog.Base) {
	found.Facility, found.Severity, found.Time = message.Facility, message.Severity, message.Timestamp
	found.Host, found.App, found.Proc = message.Hostname, message.Appname, message.ProcID
	found.Id, found.Message = message.MsgID, message.Message
}

func main() {
	out := json.NewEncoder(os.Stdout)
	for _, line := range samples(filepath.Join(os.Args[1], "rfc5424")) {
		message, err := rfc5424.NewParser().Parse([]byte(line))
		found := sample{Form: "rfc5424", Text: line, Valid: err == nil}
		if err != nil {
			found.Error = err.Error()
		} else {
			read := message.(*rfc5424.SyslogMessage)
			base(&found, read.Base)
			found.Data = read.StructuredData
		}
		out.Encode(found)
	}
	for _, line := range samples(filepath.Join(os.Args[1], "rfc3164")) {
		if !strings.HasPrefix(line, "<") {
			continue
		}
		message, err := rfc3164.NewParser(rfc3164.WithRFC3339()).Parse([]byte(line))
		found := sample{Form: "rfc3164", Text: line, Valid: err == nil}
		if err != nil {
			found.Error = err.Error()
		} else if read, ok := message.(*rfc3164.SyslogMessage); ok {
			base(&found, read.Base)
		} else {
			found.Valid = false
		}
		out.Encode(found)
	}
}
