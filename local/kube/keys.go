package kube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/weighlock/weighlock/local/address"
)

// validity is how long the certificates last.
const validity = 365 * 24 * time.Hour

// keys are the paths of the control plane's keys and certificates.
type keys struct {
	ca, serverCert, serverKey, serviceAccount string
	caPEM                                     []byte
}

// writeKeys makes a certificate authority, the API server's certificate, and
// the key that signs service accounts' tokens.
func writeKeys(folder string) (keys, error) {
	k := keys{
		ca:             filepath.Join(folder, "ca.crt"),
		serverCert:     filepath.Join(folder, "server.crt"),
		serverKey:      filepath.Join(folder, "server.key"),
		serviceAccount: filepath.Join(folder, "service-account.key"),
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return keys{}, fmt.Errorf("make the folder for keys: %w", err)
	}
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "local stack"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(validity),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "kube-apiserver"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(validity),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// Outside the sandbox it is reached by a port of 127.0.0.1.
		IPAddresses: []net.IP{net.ParseIP(address.APIServerIP), net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc." + address.ClusterDomain,
		},
	}
	var private [3]*ecdsa.PrivateKey
	for i := range private {
		var err error
		if private[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return keys{}, fmt.Errorf("make a key: %w", err)
		}
	}
	caKey, serverKey, accountKey := private[0], private[1], private[2]
	caDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	if err != nil {
		return keys{}, fmt.Errorf("make the certificate authority: %w", err)
	}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, authority, &serverKey.PublicKey, caKey)
	if err != nil {
		return keys{}, fmt.Errorf("make the API server's certificate: %w", err)
	}
	k.caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	if err := writeFile(k.ca, k.caPEM); err != nil {
		return keys{}, err
	}
	if err := writeFile(k.serverCert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: serverDER})); err != nil {
		return keys{}, err
	}
	if err := writeKey(k.serverKey, serverKey); err != nil {
		return keys{}, err
	}
	return k, writeKey(k.serviceAccount, accountKey)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

func writeFile(path string, content []byte) error {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	return nil
}

// writeKubeconfig writes a user's kubeconfig.
func writeKubeconfig(path, server string, ca []byte, token string) error {
	const name = "weighlock-local"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("write a kubeconfig: %w", err)
	}
	return nil
}
