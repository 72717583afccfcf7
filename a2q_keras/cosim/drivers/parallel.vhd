-- Style parallel in VHDL: reads a hexadecimal word per sample from inputs.hex, writes one per sample to outputs.hex.
-- A new sample enters in every clock cycle and leaves `latency` cycles later; 0: combinational logic.
library ieee;
use ieee.std_logic_1164.all;
use std.textio.all;

entity bench is
    generic (input_bits, output_bits, latency : natural);
end entity;

architecture drive of bench is
    constant padding : std_logic_vector(31 downto 0) := (others => '0');
    signal clk : std_logic := '0';
    signal model_inp : std_logic_vector(input_bits - 1 downto 0) := (others => '0');
    signal model_out : std_logic_vector(output_bits - 1 downto 0);
begin
    design : entity work.model port map (clk => clk, model_inp => model_inp, model_out => model_out);

    process
        constant lead : integer := maximum(latency - 1, 0);
        file inputs : text open read_mode is "inputs.hex";
        file outputs : text open write_mode is "outputs.hex";
        variable row : line;
        variable word : std_logic_vector((input_bits + 31) / 32 * 32 - 1 downto 0);
        variable cycle, waited : natural := 0;
    begin
        while not endfile(inputs) or waited < lead loop
            if not endfile(inputs) then
                readline(inputs, row);
                hread(row, word);
                model_inp <= word(input_bits - 1 downto 0);
            else
                waited := waited + 1;
            end if;
            wait for 1 ns;
            clk <= '1';
            wait for 1 ns;
            clk <= '0';
            if cycle >= lead then
                hwrite(row, padding((-output_bits) mod 32 - 1 downto 0) & model_out);
                writeline(outputs, row);
            end if;
            cycle := cycle + 1;
        end loop;
        wait;
    end process;
end architecture;
