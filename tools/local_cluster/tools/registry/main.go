// Serves a CNCF distribution registry, with troubles. Its one argument is a JSON file (see the type settings); the file
// of troubles that this names is read again whenever it changes.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/time/rate"
)

type settings struct {
	Address     string
	Certificate string
	Key         string
	Storage     string
	// Credentials is where the htpasswd file goes that is made of User and Password.
	Credentials string
	User        string
	Password    string
	// Public is the prefix of the repositories that need no credentials.
	Public   string
	Troubles string
}

// trouble is what one repository does to those who ask for it, or all of them that have none of their own, by the name "".
type trouble struct {
	// Status answers each request, if it is not 0.
	Status int
	// BytesPerSecond is the rate that all answers share, if it is not 0.
	BytesPerSecond int
	limiter        *rate.Limiter
}

const piece = 16 * 1024

type throttled struct {
	http.ResponseWriter
	context context.Context
	limiter *rate.Limiter
}

func (writer throttled) Write(content []byte) (int, error) {
	written := 0
	for written < len(content) {
		next := content[written:min(written+piece, len(content))]
		if err := writer.limiter.WaitN(writer.context, len(next)); err != nil {
			return written, err
		}
		count, err := writer.ResponseWriter.Write(next)
		written += count
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

type registry struct {
	settings settings
	next     http.Handler
	lock     sync.Mutex
	read     time.Time
	troubles map[string]*trouble
}

func (registry *registry) trouble(repository string) *trouble {
	registry.lock.Lock()
	defer registry.lock.Unlock()
	if file, err := os.Stat(registry.settings.Troubles); err == nil && file.ModTime() != registry.read {
		registry.read, registry.troubles = file.ModTime(), map[string]*trouble{}
		load(registry.settings.Troubles, &registry.troubles)
		for _, one := range registry.troubles {
			one.limiter = rate.NewLimiter(rate.Limit(one.BytesPerSecond), piece)
		}
	}
	for _, name := range []string{repository, ""} {
		if found := registry.troubles[name]; found != nil {
			return found
		}
	}
	return &trouble{}
}

func (registry *registry) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	path := strings.TrimPrefix(request.URL.Path, "/v2/")
	repository := path
	for _, kind := range []string{"/manifests/", "/blobs/"} {
		repository, _, _ = strings.Cut(repository, kind)
	}
	found := registry.trouble(repository)
	if found.Status != 0 {
		http.Error(writer, http.StatusText(found.Status), found.Status)
		return
	}
	if found.BytesPerSecond != 0 {
		writer = throttled{writer, request.Context(), found.limiter}
	}
	if strings.HasPrefix(repository, registry.settings.Public) && request.Header.Get("Authorization") == "" {
		request.SetBasicAuth(registry.settings.User, registry.settings.Password)
	}
	registry.next.ServeHTTP(writer, request)
}

func load(path string, into any) {
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, into)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	given := settings{}
	load(os.Args[1], &given)
	hash, err := bcrypt.GenerateFromPassword([]byte(given.Password), bcrypt.MinCost)
	if err == nil {
		err = os.WriteFile(given.Credentials, []byte(given.User+":"+string(hash)+"\n"), 0o600)
	}
	if err != nil {
		log.Fatal(err)
	}
	config := &configuration.Configuration{
		Storage: configuration.Storage{"filesystem": {"rootdirectory": given.Storage}},
		Auth:    configuration.Auth{"htpasswd": {"realm": "registry", "path": given.Credentials}},
	}
	config.HTTP.Secret = given.Password
	config.Catalog.MaxEntries = 1000
	server := &http.Server{
		Addr:              given.Address,
		Handler:           &registry{settings: given, next: handlers.NewApp(context.Background(), config)},
		ReadHeaderTimeout: time.Minute,
	}
	log.Fatal(server.ListenAndServeTLS(given.Certificate, given.Key))
}
