// Writes records with go-logfmt, and lines that are like them, with what go-logfmt reads of each.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/go-logfmt/logfmt"
)

type pair [2]*string

type line struct {
	Text  string
	Pairs []pair
	Error string
}

func read(text string) line {
	found := line{Text: text, Pairs: []pair{}}
	decoder := logfmt.NewDecoder(strings.NewReader(text))
	for decoder.ScanRecord() {
		for decoder.ScanKeyval() {
			key := string(decoder.Key())
			var value *string
			if decoder.Value() != nil {
				text := string(decoder.Value())
				value = &text
			}
			found.Pairs = append(found.Pairs, pair{&key, value})
		}
	}
	if err := decoder.Err(); err != nil {
		found.Error = err.Error()
	}
	return found
}

func main() {
	chosen := rand.New(rand.NewSource(1))
	runes := []rune("ab =\"\\/'\n\r\t\b\f\x00\x1b\x7fé\u2028\ufffd😀{}nul")
	word := func(longest int) string {
		var text strings.Builder
		for range chosen.Intn(longest) {
			text.WriteRune(runes[chosen.Intn(len(runes))])
		}
		return text.String()
	}
	out := json.NewEncoder(os.Stdout)
	for range 5000 {
		var text bytes.Buffer
		encoder := logfmt.NewEncoder(&text)
		for range 1 + chosen.Intn(4) {
			_ = encoder.EncodeKeyval("k"+word(3), word(8))
		}
		out.Encode(read(text.String()))
	}
	pieces := []string{"a", "b", "=", "\"", " ", "\\", "\\u00e9", "\\ud83d\\ude00", "\\n", "\\x", "\\'", "é", "\t", "\ufffd", "\x01"}
	for range 5000 {
		var text strings.Builder
		for range 1 + chosen.Intn(12) {
			text.WriteString(pieces[chosen.Intn(len(pieces))])
		}
		if !utf8.ValidString(text.String()) {
			fmt.Fprintln(os.Stderr, "not UTF-8")
			os.Exit(1)
		}
		out.Encode(read(text.String()))
	}
}
