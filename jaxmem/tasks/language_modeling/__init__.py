"""Language modelling: text in contiguous lanes, scored in bits a byte."""
