import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Utils;

/**
 * Kafka's own Java client for tests: administration, consumers, and producers with transactions, all that shows what a broker
 * really has. Arguments: properties NAME=VALUE with librdkafka's names, which are translated. Each line of the standard input
 * is a command with tabs between its words (see run()); each is answered by its results, a line each, and a last line
 * 'done' or 'failed: ' with the error. Keys, values and headers of records are in base64, '-' where there is none.
 */
public class KafkaClient {
	static final Base64.Encoder BASE64 = Base64.getEncoder();
	static final String LOGIN = "org.apache.kafka.common.security.";
	static final long PATIENCE = 60_000;

	final Properties properties;
	final Admin admin;
	final Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();

	KafkaClient(Properties properties) {
		this.properties = properties;
		this.admin = Admin.create(properties);
	}

	static String file(Map<String, String> from, String name) throws IOException {
		return Files.readString(Path.of(from.get(name)));
	}

	/** Properties for the Java client from those for librdkafka. */
	static Properties translate(Map<String, String> from) throws IOException {
		Properties to = new Properties();
		String mechanism = from.get("sasl.mechanism");
		String user = "username=\"" + from.get("sasl.username") + "\" password=\"" + from.get("sasl.password") + "\"";
		for (String name : List.of("bootstrap.servers", "security.protocol", "sasl.mechanism"))
			if (from.containsKey(name))
				to.put(name, from.get(name));
		if (from.containsKey("ssl.ca.location")) {
			to.put("ssl.truststore.type", "PEM");
			to.put("ssl.truststore.certificates", file(from, "ssl.ca.location"));
		}
		if (from.containsKey("ssl.key.location")) {
			to.put("ssl.keystore.type", "PEM");
			to.put("ssl.keystore.key", file(from, "ssl.key.location"));
			to.put("ssl.keystore.certificate.chain", file(from, "ssl.certificate.location"));
		}
		String endpoint = from.get("sasl.oauthbearer.token.endpoint.url");
		if (endpoint != null) {
			System.setProperty("org.apache.kafka.sasl.oauthbearer.allowed.urls", endpoint);
			to.put("sasl.oauthbearer.token.endpoint.url", endpoint);
			to.put("sasl.login.callback.handler.class", LOGIN + "oauthbearer.OAuthBearerLoginCallbackHandler");
			to.put("sasl.jaas.config", LOGIN + "oauthbearer.OAuthBearerLoginModule required clientId=\"" + from.get("sasl.oauthbearer.client.id")
				+ "\" clientSecret=\"" + from.get("sasl.oauthbearer.client.secret") + "\";");
		} else if ("OAUTHBEARER".equals(mechanism))
			to.put("sasl.jaas.config", LOGIN + "oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\""
				+ from.get("sasl.oauthbearer.config").replace("principal=", "") + "\";");
		else if ("PLAIN".equals(mechanism))
			to.put("sasl.jaas.config", LOGIN + "plain.PlainLoginModule required " + user + ";");
		else if (mechanism != null)
			to.put("sasl.jaas.config", LOGIN + "scram.ScramLoginModule required " + user + ";");
		return to;
	}

	static Map<String, String> pairs(String[] words, int from) {
		Map<String, String> map = new HashMap<>();
		for (int i = from; i < words.length; i++)
			map.put(words[i].substring(0, words[i].indexOf('=')), words[i].substring(words[i].indexOf('=') + 1));
		return map;
	}

	static String text(byte[] bytes) {
		return bytes == null ? "-" : BASE64.encodeToString(bytes);
	}

	static byte[] bytes(String text) {
		return text.equals("-") ? null : Base64.getDecoder().decode(text);
	}

	KafkaConsumer<byte[], byte[]> consumer(String isolation) {
		Properties p = new Properties();
		p.putAll(properties);
		p.put("isolation.level", isolation);
		p.put("enable.auto.commit", "false");
		p.put("max.poll.records", "5000");
		return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
	}

	List<TopicPartition> partitions(String topic) throws Exception {
		List<TopicPartition> list = new ArrayList<>();
		for (TopicPartitionInfo info : described(topic))
			list.add(new TopicPartition(topic, info.partition()));
		return list;
	}

	List<TopicPartitionInfo> described(String topic) throws Exception {
		return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions();
	}

	/** partition, offset, timestamp, the partition that Java's default partitioner gives for the key (-1: no key), key, value, headers */
	static void write(BufferedWriter out, ConsumerRecord<byte[], byte[]> record, int partitions) throws IOException {
		int expected = record.key() == null ? -1 : Utils.toPositive(Utils.murmur2(record.key())) % partitions;
		out.write(record.partition() + "\t" + record.offset() + "\t" + record.timestamp() + "\t" + expected + "\t" + text(record.key())
			+ "\t" + text(record.value()));
		for (Header header : record.headers())
			out.write("\t" + BASE64.encodeToString(header.key().getBytes(StandardCharsets.UTF_8)) + ":" + text(header.value()));
		out.write("\n");
	}

	/** All of a topic up to where it ends now, in each partition, into a file; what of a partition is in its order. */
	int consume(String topic, String isolation, String path) throws Exception {
		int count = 0;
		try (KafkaConsumer<byte[], byte[]> consumer = consumer(isolation); BufferedWriter out = Files.newBufferedWriter(Path.of(path))) {
			List<TopicPartition> left = new ArrayList<>(partitions(topic));
			int partitions = left.size();
			consumer.assign(left);
			consumer.seekToBeginning(left);
			Map<TopicPartition, Long> ends = consumer.endOffsets(left);
			long deadline = System.currentTimeMillis() + PATIENCE;
			while (true) {
				left.removeIf(partition -> consumer.position(partition) >= ends.get(partition));
				if (left.isEmpty())
					return count;
				for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
					if (record.offset() >= ends.get(new TopicPartition(topic, record.partition())))
						continue;
					write(out, record, partitions);
					count++;
					deadline = System.currentTimeMillis() + PATIENCE;
				}
				if (System.currentTimeMillis() > deadline)
					throw new IllegalStateException("the end of " + left + " is not reached");
			}
		}
	}

	/** The producer of a transactional id (up to a #), made and initialised (which fences older ones) when it is first named. */
	KafkaProducer<byte[], byte[]> producer(String id) {
		return producers.computeIfAbsent(id, name -> {
			Properties p = new Properties();
			p.putAll(properties);
			p.put("transactional.id", name.replaceAll("#.*", ""));
			p.put("linger.ms", "0");
			KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
			producer.initTransactions();
			return producer;
		});
	}

	void configure(String topic, Map<String, String> settings) throws Exception {
		Collection<AlterConfigOp> changes = new ArrayList<>();
		settings.forEach((name, value) -> changes.add(new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)));
		admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.TOPIC, topic), changes)).all().get();
	}

	/** What allows a user an operation on a topic, a transactional id or, where the kind is cluster, the cluster. */
	static AclBinding acl(String user, String operation, String kind, String name) {
		return new AclBinding(new ResourcePattern(ResourceType.fromString(kind), name, PatternType.LITERAL),
			new AccessControlEntry("User:" + user, "*", AclOperation.fromString(operation), AclPermissionType.ALLOW));
	}

	void run(String[] word) throws Exception {
		String topic = word.length > 1 ? word[1] : null;
		switch (word[0]) {
		case "create": // TOPIC PARTITIONS REPLICAS [NAME=VALUE ...]
			admin.createTopics(List.of(new NewTopic(topic, Integer.parseInt(word[2]), Short.parseShort(word[3])).configs(pairs(word, 4)))).all().get();
			break;
		case "delete": // TOPIC
			admin.deleteTopics(List.of(topic)).all().get();
			break;
		case "topics":
			for (String name : admin.listTopics().names().get())
				System.out.println(name);
			break;
		case "configure": // TOPIC NAME=VALUE ...
			configure(topic, pairs(word, 2));
			break;
		case "partitions": // TOPIC: lines of partition, leader (-1: none), replicas in sync
			for (TopicPartitionInfo info : described(topic))
				System.out.println(info.partition() + "\t" + (info.leader() == null ? -1 : info.leader().id()) + "\t" + info.isr().size());
			break;
		case "offsets": // TOPIC ISOLATION: lines of partition, begin, end
			try (KafkaConsumer<byte[], byte[]> consumer = consumer(word[2])) {
				Map<TopicPartition, Long> begin = consumer.beginningOffsets(partitions(topic));
				Map<TopicPartition, Long> end = consumer.endOffsets(partitions(topic));
				for (TopicPartition partition : partitions(topic))
					System.out.println(partition.partition() + "\t" + begin.get(partition) + "\t" + end.get(partition));
			}
			break;
		case "trim": // TOPIC PARTITION OFFSET: as retention does
			admin.deleteRecords(Map.of(new TopicPartition(topic, Integer.parseInt(word[2])), RecordsToDelete.beforeOffset(Long.parseLong(word[3])))).all().get();
			break;
		case "allow": // USER OPERATION KIND NAME
			admin.createAcls(List.of(acl(word[1], word[2], word[3], word[4]))).all().get();
			break;
		case "forbid": // USER OPERATION KIND NAME: what was allowed
			admin.deleteAcls(List.of(acl(word[1], word[2], word[3], word[4]).toFilter())).all().get();
			break;
		case "consume": // TOPIC ISOLATION FILE: how many
			System.out.println(consume(topic, word[2], word[3]));
			break;
		case "begin": // ID
			producer(word[1]).beginTransaction();
			break;
		case "send": // ID TOPIC KEY VALUE: partition, offset
			var sent = producer(word[1]).send(new ProducerRecord<>(word[2], bytes(word[3]), bytes(word[4]))).get();
			System.out.println(sent.partition() + "\t" + sent.offset());
			break;
		case "commit": // ID
			producer(word[1]).commitTransaction();
			break;
		case "abort": // ID
			producer(word[1]).abortTransaction();
			break;
		default:
			throw new IllegalArgumentException("no command " + word[0]);
		}
	}

	public static void main(String[] arguments) throws Exception {
		KafkaClient client = new KafkaClient(translate(pairs(arguments, 0)));
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
		String line;
		while ((line = in.readLine()) != null) {
			String answer = "done";
			try {
				client.run(line.split("\t", -1));
			} catch (Exception e) {
				Throwable cause = e instanceof ExecutionException ? e.getCause() : e;
				answer = "failed: " + (cause.getClass().getSimpleName() + ": " + cause.getMessage()).replace('\n', ' ');
			}
			System.out.println(answer);
			System.out.flush();
		}
		System.exit(0);
	}
}
