import com.google.crypto.tink.DeterministicAead;
import com.google.crypto.tink.InsecureSecretKeyAccess;
import com.google.crypto.tink.KeysetHandle;
import com.google.crypto.tink.TinkJsonProtoKeysetFormat;
import com.google.crypto.tink.daead.DeterministicAeadConfig;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;

/** Reads lines of keyset, tab, ciphertext; see test/clients/tink. */
public class TinkClient {
    private static final byte[] NO_ASSOCIATED_DATA = new byte[0];

    private static DeterministicAead primitive(String keyset) throws GeneralSecurityException {
        KeysetHandle handle = TinkJsonProtoKeysetFormat.parseKeyset(keyset, InsecureSecretKeyAccess.get());
        return handle.getPrimitive(DeterministicAead.class);
    }

    private static String answer(DeterministicAead key, String ciphertext) {
        try {
            byte[] plain = key.decryptDeterministically(Base64.getDecoder().decode(ciphertext), NO_ASSOCIATED_DATA);
            byte[] again = key.encryptDeterministically(plain, NO_ASSOCIATED_DATA);
            return Base64.getEncoder().encodeToString(plain) + "\t" + Base64.getEncoder().encodeToString(again);
        } catch (GeneralSecurityException e) {
            return "refused";
        }
    }

    public static void main(String[] args) throws Exception {
        Map<String, DeterministicAead> keys = new HashMap<>();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        DeterministicAeadConfig.register();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split("\t", -1);
            if (!keys.containsKey(parts[0]))
                keys.put(parts[0], primitive(parts[0]));
            System.out.println(answer(keys.get(parts[0]), parts[1]));
        }
    }
}
