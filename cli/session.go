package cli

import (
	"context"
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// session is one call of the plugin: whom it speaks to, for whom, and where it writes.
type session struct {
	genericiooptions.IOStreams

	flags   *genericclioptions.ConfigFlags
	version string
	clock   clock.WithTicker
	getenv  func(string) string
	colour  string

	connect func() (client.WithWatch, error)
}

// newSession makes a session. Nothing is read or dialled before a command needs it.
func newSession(o Options) *session {
	s := &session{
		IOStreams: o.Streams, version: o.Version, clock: o.Clock, getenv: o.Getenv,
		flags: genericclioptions.NewConfigFlags(true),
	}
	s.flags.WrapConfigFn = func(config *rest.Config) *rest.Config {
		config.UserAgent = "kubectl-weighlock/" + o.Version
		// A person waits for the answer, and asks for little.
		config.QPS, config.Burst = 50, 100
		config.WarningHandler = rest.NewWarningWriter(o.Streams.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
		return config
	}
	s.connect = sync.OnceValues(s.dial)
	return s
}

// client speaks to the API server: Weighlock's kinds, and the built-in ones that kinds lists.
func (s *session) client() (client.WithWatch, error) { return s.connect() }

// dial makes the client.
func (s *session) dial() (client.WithWatch, error) {
	config, err := s.flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	types, err := newScheme()
	if err != nil {
		return nil, err
	}
	mapper, err := newMapper(types)
	if err != nil {
		return nil, err
	}
	api, err := client.NewWithWatch(config, client.Options{Scheme: types, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", config.Host, err)
	}
	return api, nil
}

// newScheme knows the built-in types and Weighlock's.
func newScheme() (*runtime.Scheme, error) {
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(types); err != nil {
			return nil, fmt.Errorf("set up the types: %w", err)
		}
	}
	return types, nil
}

// newMapper tells the resources of all kinds that commands ask for. It is fixed, so that no call begins with asking the API server
// for all that it serves.
func newMapper(types *runtime.Scheme) (meta.RESTMapper, error) {
	mapper := meta.NewDefaultRESTMapper(nil)
	for scope, objects := range map[meta.RESTScope][]runtime.Object{
		meta.RESTScopeNamespace: {
			&v1alpha1.Rollout{}, &v1alpha1.Decision{}, &v1alpha1.AnalysisTemplate{}, &v1alpha1.GitSource{},
			&appsv1.Deployment{}, &appsv1.ReplicaSet{}, &appsv1.ControllerRevision{},
			&corev1.Pod{}, &corev1.Service{}, &corev1.Event{},
		},
		meta.RESTScopeRoot: {&authenticationv1.SelfSubjectReview{}, &corev1.Namespace{}},
	} {
		for _, object := range objects {
			kinds, _, err := types.ObjectKinds(object)
			if err != nil {
				return nil, fmt.Errorf("set up the types: %w", err)
			}
			mapper.AddSpecific(kinds[0], plural(kinds[0]), singular(kinds[0]), scope)
			// Caches ask by the kind of the list.
			list := kinds[0].GroupVersion().WithKind(kinds[0].Kind + "List")
			mapper.AddSpecific(list, plural(kinds[0]), singular(kinds[0]), scope)
		}
	}
	return mapper, nil
}

func plural(kind schema.GroupVersionKind) schema.GroupVersionResource {
	resource, _ := meta.UnsafeGuessKindToResource(kind)
	return resource
}

func singular(kind schema.GroupVersionKind) schema.GroupVersionResource {
	_, resource := meta.UnsafeGuessKindToResource(kind)
	return resource
}

// namespace is the one that the user named, or the kubeconfig's.
func (s *session) namespace() (string, error) {
	namespace, _, err := s.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", fmt.Errorf("read the kubeconfig: %w", err)
	}
	return namespace, nil
}

// user is who the API server takes the caller for.
func (s *session) user(ctx context.Context) (authenticationv1.UserInfo, error) {
	api, err := s.client()
	if err != nil {
		return authenticationv1.UserInfo{}, err
	}
	review := &authenticationv1.SelfSubjectReview{}
	if err := api.Create(ctx, review); err != nil {
		return authenticationv1.UserInfo{}, fmt.Errorf("ask the API server who you are: %w", err)
	}
	return review.Status.UserInfo, nil
}
