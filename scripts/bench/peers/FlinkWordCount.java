import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.FlatMapFunction;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.connector.file.src.FileSource;
import org.apache.flink.connector.file.src.reader.TextLineInputFormat;
import org.apache.flink.core.fs.Path;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.util.Collector;

/**
 * The peer of scripts/bench/wordcount.py: running word counts of a text file with Flink's DataStream API, discarded at the sink.
 *
 * <p>Arguments: file, parallelism. Prints the seconds of execute(), the start of Flink's local cluster included.
 */
public final class FlinkWordCount {

    private FlinkWordCount() {}

    public static void main(String[] arguments) throws Exception {
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment();
        environment.setParallelism(Integer.parseInt(arguments[1]));
        environment.getConfig().enableObjectReuse();
        FileSource<String> file = FileSource.forRecordStreamFormat(new TextLineInputFormat(), new Path(arguments[0])).build();
        environment
                .fromSource(file, WatermarkStrategy.noWatermarks(), "lines")
                .flatMap(new Words())
                .keyBy(word -> word.f0)
                .sum(1)
                .sinkTo(new DiscardingSink<>());
        long start = System.nanoTime();
        environment.execute("wordcount");
        System.out.println((System.nanoTime() - start) / 1e9);
    }

    /** Splits a line at its spaces. */
    private static final class Words implements FlatMapFunction<String, Tuple2<String, Integer>> {
        private static final long serialVersionUID = 1L;

        @Override
        public void flatMap(String line, Collector<Tuple2<String, Integer>> out) {
            int from = 0;
            for (int to = line.indexOf(' '); to >= 0; to = line.indexOf(' ', from)) {
                out.collect(Tuple2.of(line.substring(from, to), 1));
                from = to + 1;
            }
            out.collect(Tuple2.of(line.substring(from), 1));
        }
    }
}
