import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

import org.postgresql.util.PSQLException;

/**
 * PostgreSQL's JDBC driver as producer and consumer of a stream: parameters of Java's own types, without casts, by the
 * extended and by the simple protocol. Environment: PRODUCER and CONSUMER, roles to SET; PGHOST (TCP), PGPORT,
 * PGDATABASE, PGUSER and PGPASSWORD. Prints 'ok - ...', 'not ok - ...' and, last, 'done'.
 */
public class JdbcClient {
	static final String MARKER = "Marker-Quixotic-7431";
	static final String COLUMNS =
		"strm_consent_levels, session, customer, age, serial, score, member, tags, url, pages, bytes, ratio, mobile";
	static final String INSERT = "INSERT INTO jdbc (" + COLUMNS + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
	static final String URL = "https://shop.example/";

	/** The row that a test inserts; tests change a field or two. */
	static class Row {
		int[] levels = {1, 2};
		String session;
		String customer = "c-42";
		Object age = 37;

		Row(String session) {
			this.session = session;
		}
	}

	static void report(String name, boolean passed, Object detail) {
		System.out.println((passed ? "ok - " : "not ok - ") + name);
		if (!passed && detail != null)
			System.out.println(detail);
	}

	static Connection connect(String role, String options) throws SQLException {
		String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/"
			+ System.getenv("PGDATABASE") + "?" + options;
		Connection connection = DriverManager.getConnection(url, System.getenv("PGUSER"), System.getenv("PGPASSWORD"));
		try (Statement statement = connection.createStatement()) {
			if (role != null)
				statement.execute("SET ROLE " + statement.enquoteIdentifier(System.getenv(role), true));
		}
		return connection;
	}

	static void bind(PreparedStatement insert, Row row) throws SQLException {
		Connection connection = insert.getConnection();
		insert.setObject(1, row.levels);
		insert.setString(2, row.session);
		insert.setString(3, row.customer);
		if (row.age instanceof Integer)
			insert.setInt(4, (Integer) row.age);
		else
			insert.setString(4, (String) row.age);
		insert.setLong(5, Long.MAX_VALUE);
		insert.setDouble(6, 0.1);
		insert.setBoolean(7, true);
		insert.setArray(8, connection.createArrayOf("text", new String[] {"a", "b,\"c", "é"}));
		insert.setString(9, URL);
		insert.setInt(10, 5);
		insert.setLong(11, Long.MIN_VALUE);
		insert.setDouble(12, 0.3);
		insert.setBoolean(13, false);
	}

	static void insert(Connection connection, Row row) throws SQLException {
		try (PreparedStatement insert = connection.prepareStatement(INSERT)) {
			bind(insert, row);
			insert.executeUpdate();
		}
	}

	/** setNull with the types that frameworks use: VARCHAR for text, and for whatever they do not know. */
	static void insertNulls(Connection connection, String session) throws SQLException {
		try (PreparedStatement insert = connection.prepareStatement(INSERT)) {
			insert.setNull(1, Types.ARRAY);
			insert.setString(2, session);
			for (int i = 3; i <= 8; i++)
				insert.setNull(i, i == 8 ? Types.ARRAY : Types.VARCHAR);
			insert.setString(9, URL);
			insert.setNull(10, Types.INTEGER);
			insert.setNull(11, Types.BIGINT);
			insert.setNull(12, Types.DOUBLE);
			insert.setNull(13, Types.BOOLEAN);
			insert.executeUpdate();
		}
	}

	interface Action {
		void run() throws SQLException;
	}

	/** The action fails with that SQLSTATE, and no part of the error holds the marker. */
	static void refused(String name, String sqlstate, Action action) {
		try {
			action.run();
			report(name, false, "no error");
		} catch (SQLException error) {
			String parts = error.getMessage();
			if (error instanceof PSQLException && ((PSQLException) error).getServerErrorMessage() != null) {
				var server = ((PSQLException) error).getServerErrorMessage();
				parts += server.getDetail() + server.getHint() + server.getWhere() + server.getInternalQuery();
			}
			report(name, sqlstate.equals(error.getSQLState()) && !parts.contains(MARKER), error.getSQLState() + ": " + parts);
		}
	}

	static long count(Connection connection, String query) throws SQLException {
		try (Statement statement = connection.createStatement(); ResultSet result = statement.executeQuery(query)) {
			result.next();
			return result.getLong(1);
		}
	}

	static void produce(Connection producer, String mode) throws SQLException {
		for (int i = 0; i < 6; i++)		// the driver prepares on the server from the fifth on
			insert(producer, new Row("s-" + mode + "-" + i));
		report("inserts parameters (" + mode + ")", true, null);
		try (PreparedStatement insert = producer.prepareStatement(INSERT)) {
			for (int i = 0; i < 3; i++) {
				bind(insert, new Row("s-" + mode + "-batch-" + i));
				insert.addBatch();
			}
			insert.executeBatch();
		}
		report("inserts a batch (" + mode + ")", true, null);
		insertNulls(producer, "s-" + mode + "-nulls");
		Row unasked = new Row("s-" + mode + "-unasked");
		unasked.levels = new int[0];
		insert(producer, unasked);
		report("inserts NULLs and no consent (" + mode + ")", true, null);
	}

	static void produceErrors(Connection producer, String mode) {
		for (String session : new String[] {null, ""}) {
			Row row = new Row(session);
			row.customer = "c-" + MARKER;
			refused("refuses " + (session == null ? "a NULL" : "an empty") + " key field (" + mode + ")", "23502",
				() -> insert(producer, row));
		}
		Row type = new Row("s");
		type.age = MARKER;
		refused("refuses a personal value of another type (" + mode + ")", "22P02", () -> insert(producer, type));
		Row validation = new Row("s");
		validation.customer = MARKER;
		refused("refuses what breaks a validation (" + mode + ")", "23514", () -> insert(producer, validation));
		Row consent = new Row("s");
		consent.levels = new int[] {-1};
		consent.customer = "c-" + MARKER;
		refused("refuses a negative consent level (" + mode + ")", "22023", () -> insert(producer, consent));
	}

	/** What is wrong in a row of the derived stream; null when nothing is. */
	static String fault(ResultSet row) throws SQLException {
		Array tags = row.getArray("tags");
		boolean right = "c-42".equals(row.getString("customer")) && row.getInt("age") == 37
			&& row.getLong("serial") == Long.MAX_VALUE && row.getDouble("score") == 0.1 && row.getBoolean("member")
			&& Arrays.equals((Object[]) tags.getArray(), new String[] {"a", "b,\"c", "é"})
			&& URL.equals(row.getString("url")) && row.getObject("pages").equals(5)
			&& row.getObject("bytes").equals(Long.MIN_VALUE) && row.getObject("ratio").equals(0.3)
			&& row.getObject("mobile").equals(false) && row.getObject("age") instanceof Integer
			&& row.getObject("serial") instanceof Long && row.getObject("score") instanceof Double
			&& row.getObject("member") instanceof Boolean;
		return right ? null : row.getString("session");
	}

	static void consume(Connection consumer, String mode) throws SQLException {
		Set<String> sessions = new TreeSet<>();
		Set<String> expected = new TreeSet<>();
		List<String> faults = new ArrayList<>();

		for (String producerMode : new String[] {"extended", "simple"}) {
			for (int i = 0; i < 6; i++)
				expected.add("s-" + producerMode + "-" + i);
			for (int i = 0; i < 3; i++)
				expected.add("s-" + producerMode + "-batch-" + i);
		}
		try (PreparedStatement select = consumer.prepareStatement("SELECT * FROM jdbc_1_2 WHERE pages = ?")) {
			select.setInt(1, 5);
			for (int i = 0; i < 6; i++) {	// from the fifth on, values come in binary
				ResultSet row = select.executeQuery();
				sessions.clear();
				while (row.next()) {
					sessions.add(row.getString("session"));
					if (fault(row) != null)
						faults.add(fault(row));
				}
			}
		}
		report("reads the rows that were consented to (" + mode + ")", sessions.equals(expected), sessions);
		report("reads every value in its native type (" + mode + ")", faults.isEmpty(), faults);
	}

	static void ingest(Connection producer, Connection consumer) throws SQLException {
		String event = "{\"strmMeta\": {\"eventContractRef\": \"clients/event/1.0.0\", \"consentLevels\": [1, 2]}, "
			+ "\"session\": \"s-event\", \"serial\": 9223372036854775807, \"age\": %s, \"url\": \"" + URL + "\"}";
		try (PreparedStatement ingest = producer.prepareStatement("SELECT strm.ingest('jdbc', ?::jsonb)")) {
			ingest.setString(1, String.format(event, "5"));
			ingest.execute();
		}
		report("ingests an event and reads it back", 1 == count(consumer,
			"SELECT count(*) FROM strm.events('jdbc_1_2') AS e WHERE e->>'session' = 's-event' AND e->>'age' = '5'"
			+ " AND e->>'serial' = '9223372036854775807' AND json_typeof(e->'customer') = 'null'"), null);
		refused("refuses an event of wrong types", "22P02", () -> {
			try (PreparedStatement ingest = producer.prepareStatement("SELECT strm.ingest('jdbc', ?::jsonb)")) {
				ingest.setString(1, String.format(event, "\"" + MARKER + "\""));
				ingest.execute();
			}
		});
	}

	public static void main(String[] arguments) throws SQLException {
		try (Connection extended = connect("PRODUCER", "preferQueryMode=extended");
			 Connection simple = connect("PRODUCER", "preferQueryMode=simple");
			 Connection consumer = connect("CONSUMER", "");
			 Connection owner = connect(null, "")) {
			produce(extended, "extended");
			produce(simple, "simple");
			consume(consumer, "extended");
			try (Connection simpleConsumer = connect("CONSUMER", "preferQueryMode=simple")) {
				consume(simpleConsumer, "simple");
			}
			report("stores ciphertext", 0 == count(owner, "SELECT count(*) FROM jdbc WHERE session !~ '^[A-Za-z0-9+/]+=*$'"), null);
			ingest(extended, consumer);
			produceErrors(extended, "extended");
			produceErrors(simple, "simple");
			refused("refuses to let the producer read", "42501", () -> count(extended, "SELECT count(*) FROM jdbc"));
			refused("refuses to let the consumer read the stream", "42501", () -> count(consumer, "SELECT count(session) FROM jdbc"));
		}
		System.out.println("done");
	}
}
